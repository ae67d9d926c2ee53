import type { SeriesFile } from './series-state.ts';

/** What backups that were interrupted have left: the data that was stored since the newest one that was not. */
export function leftByBackups(files: readonly SeriesFile[]): SeriesFile[] {
  const newest = files.findLast(({ kind }) => kind === 'backup')?.sequence ?? 0;
  return files.filter(({ kind, sequence }) => kind === 'data' && sequence > newest);
}
