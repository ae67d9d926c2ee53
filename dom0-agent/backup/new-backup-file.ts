import { timeInName } from '../../shared/local-time.ts';
import { isRefusal } from '../transport/storage-errors.ts';
import type { Sink, Storage } from '../transport/storage.ts';

/** How many backups started within one second get a name. */
const MOST_OF_A_SECOND = 9;

/** A new backup's file, not yet complete. */
export interface NewBackupFile {
  readonly sink: Sink;
  readonly fileName: string;
}

/**
 * Opens the file of a backup that is started at `created`. Of backups started in the same second, the later
 * ones get a numeric suffix. Throws what `openSink` does.
 *
 * @param expectedBytes refused when there is less space; undefined: unknown
 */
export async function openNewBackupFile(
  storage: Storage,
  directory: string,
  created: Date,
  expectedBytes: number | undefined,
  signal: AbortSignal,
): Promise<NewBackupFile> {
  for (let number = 1; ; number++) {
    const fileName = backupName(created, number);
    try {
      const sink = await storage.openSink({ directory, fileName }, expectedBytes, signal);
      return { sink, fileName };
    } catch (error) {
      if (!isRefusal(error, 'EXISTS') || number === MOST_OF_A_SECOND) throw error;
    }
  }
}

/**
 * The name of a new backup, as Qubes names them: `qubes-backup-2026-11-23T194201`, local time. The next one
 * in the same second is `…T194201-2`.
 */
function backupName(created: Date, number = 1): string {
  const name = `qubes-backup-${timeInName(created)}`;
  return number === 1 ? name : `${name}-${number}`;
}

const NAME = /^qubes-backup-(\d{4})-(\d\d)-(\d\d)T(\d\d)(\d\d)(\d\d)(?:-\d)?$/;

/** When a backup was begun by its name, which anybody can change; undefined for a file that has another name. */
export function timeOfBackupName(name: string): Date | undefined {
  const [year = 0, month = 0, ...rest] = (NAME.exec(name) ?? []).slice(1).map(Number);
  const [day = 0, hours = 0, minutes = 0, seconds = 0] = rest;
  const time = new Date(year, month - 1, day, hours, minutes, seconds);
  return month > 0 && time.getMonth() === month - 1 && time.getDate() === day ? time : undefined;
}
