import { timeInName } from '../../shared/local-time.ts';

/**
 * The name of a new backup, as Qubes names them: `qubes-backup-2026-11-23T194201`, local time. The second of
 * that second is `…T194201-2`.
 */
export function backupName(created: Date, number = 1): string {
  const name = `qubes-backup-${timeInName(created)}`;
  return number === 1 ? name : `${name}-${number}`;
}
