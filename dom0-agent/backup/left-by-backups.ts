import type { SeriesFile } from './series-state.ts';

/**
 * What interrupted backups have left: the files of data that were stored after the newest complete backup.
 *
 * @param files ascending by number
 */
export function leftByBackups(files: readonly SeriesFile[]): SeriesFile[] {
  const newest = files.findLast(({ kind }) => kind === 'backup')?.sequence ?? 0;
  return files.filter(({ kind, sequence }) => kind === 'data' && sequence > newest);
}
