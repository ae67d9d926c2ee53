import { timeInName } from '../../shared/local-time.ts';
import { isRefusal } from './storage-errors.ts';

/** How many files of each kind can be begun within one second. */
const MOST_OF_A_SECOND = { backup: 9, data: 99, pack: 99 } as const;

/**
 * Opens a new file of a series under a name that no other file has: `qubes-backup-2026-11-23T194201`, or `…-2` for the
 * next one of the same second. Throws what `open` throws.
 */
export async function underNewName<T>(
  kind: keyof typeof MOST_OF_A_SECOND,
  created: Date,
  open: (fileName: string) => Promise<T>,
): Promise<{ readonly opened: T; readonly fileName: string }> {
  const name = `qubes-${kind}-${timeInName(created)}`;
  for (let number = 1; ; number++) {
    const fileName = number === 1 ? name : `${name}-${number}`;
    try {
      return { opened: await open(fileName), fileName };
    } catch (error) {
      if (!isRefusal(error, 'EXISTS') || number === MOST_OF_A_SECOND[kind]) throw error;
    }
  }
}
