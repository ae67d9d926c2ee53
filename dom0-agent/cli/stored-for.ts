import type { FoundBackup } from './backups-in.ts';

/**
 * How many bytes were stored for each backup, by the name of its file: its own file, and the files of data that it
 * needs and no earlier backup of the series needs. The sizes are as the storage reports them.
 */
export function storedFor(backups: readonly FoundBackup[]): ReadonlyMap<string, number> {
  const dataFiles = new Map(
    backups.filter(({ kind }) => kind === 'data').map(({ backupId, size }) => [backupId, size]),
  );
  const oldestFirst = backups.toSorted(
    ({ inSeries: one }, { inSeries: other }) => (one?.sequence ?? 0) - (other?.sequence ?? 0),
  );
  const stored = new Map<string, number>();
  for (const { untrustedName, size, inSeries } of oldestFirst) {
    let sum = size;
    for (const backupId of inSeries?.needs ?? []) {
      sum += dataFiles.get(backupId) ?? 0;
      dataFiles.delete(backupId);
    }
    stored.set(untrustedName, sum);
  }
  return stored;
}
