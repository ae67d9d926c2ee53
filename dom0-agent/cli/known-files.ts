import { CofferError } from '../../shared/errors.ts';
import { formatTime } from '../../shared/local-time.ts';
import { printable } from '../../shared/printable.ts';
import type { Report } from '../../shared/report.ts';
import type { CheckedFile, InSeries } from '../archive/archive.ts';
import type { SeriesFile } from '../backup/series-state.ts';
import { SeriesStore } from '../backup/series-store.ts';
import type { OpenedSystem } from './open-system.ts';

/** The files of a series that dom0 knows of; none when it knows nothing, or cannot read what it knows. */
export async function knownFiles(
  { seriesDirectory }: OpenedSystem,
  seriesId: string | undefined,
  report: Report,
): Promise<readonly SeriesFile[]> {
  const store = new SeriesStore(seriesDirectory, (text) => report.warning(text));
  try {
    const states = seriesId === undefined ? [] : await store.all();
    return states.find(({ head }) => head.seriesId === seriesId)?.files ?? [];
  } catch (error) {
    if (!(error instanceof CofferError)) throw error;
    report.warning(error.message);
    return [];
  }
}

/** Warns when the newest backup that a directory shows is not the newest that dom0 knows of. */
export async function warnOfNewer(
  opened: OpenedSystem,
  inSeries: InSeries | undefined,
  report: Report,
): Promise<void> {
  const known = await knownFiles(opened, inSeries?.seriesId, report);
  const newest = known.findLast(({ kind }) => kind === 'backup');
  if (inSeries === undefined || newest === undefined || newest.sequence <= inSeries.sequence)
    return;
  report.warning(
    `dom0 knows of a newer backup of this series than the storage shows: ${printable(newest.fileName)}, ` +
      `number ${newest.sequence}, of ${formatTime(new Date(1000 * newest.made))}. The storage has lost it, or was put ` +
      'back to an older state',
  );
}

/** The files that dom0 knows of and that are not among those that were checked: each is damage. */
export function missingOf(
  known: readonly SeriesFile[],
  checked: readonly CheckedFile[],
): CheckedFile[] {
  const there = new Set(checked.map(({ backupId }) => backupId));
  return known
    .filter(({ backupId }) => !there.has(backupId))
    .map(({ fileName, backupId, bytes, kind, made, sequence }) => ({
      ...{ name: printable(fileName), backupId, size: bytes, kind },
      ...{ made: new Date(1000 * made), sequence },
      damages: ['it is missing: dom0 knows of it, and the storage does not show it'],
    }));
}
