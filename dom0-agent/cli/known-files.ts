import { CofferError } from '../../shared/errors.ts';
import { formatTime } from '../../shared/local-time.ts';
import { printable } from '../../shared/printable.ts';
import type { Report } from '../../shared/report.ts';
import type { CheckedFile, InSeries } from '../archive/archive.ts';
import type { BackupCheck } from '../backup/backup-record.ts';
import type { SeriesFile, SeriesState } from '../backup/series-state.ts';
import { SeriesStore } from '../backup/series-store.ts';
import type { OpenedSystem } from './open-system.ts';

/** The files of a series that dom0 knows of; none when it knows nothing, or cannot read what it knows. */
export async function knownFiles(
  opened: OpenedSystem,
  seriesId: string | undefined,
  report: Report,
): Promise<readonly SeriesFile[]> {
  const states = seriesId === undefined ? [] : await knownStates(opened, report);
  return states.find(({ head }) => head.seriesId === seriesId)?.files ?? [];
}

/** When files of any series were last checked, by their ids. */
export function checksIn(states: readonly SeriesState[]): ReadonlyMap<string, BackupCheck> {
  const files = states.flatMap((state) => state.files);
  return new Map(files.flatMap(({ backupId, check }) => (check ? [[backupId, check]] : [])));
}

/** For programs: docs/json.md. */
export function checkForPrograms(check: BackupCheck | undefined) {
  return check && { ...check, at: new Date(1000 * check.at).toISOString() };
}

/** All series that dom0 knows; none when that cannot be read. */
export async function knownStates(
  { seriesDirectory }: OpenedSystem,
  report: Report,
): Promise<readonly SeriesState[]> {
  const store = new SeriesStore(seriesDirectory, (text) => report.warning(text));
  try {
    return await store.all();
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
  const newer = inSeries && newerThan(inSeries.sequence, known);
  if (newer !== undefined) report.warning(newer);
}

/**
 * Says that dom0 knows of a newer backup of a series than the newest that a directory shows; undefined when it does not.
 *
 * @param shown the number of that one
 * @param files those of the series that dom0 knows of
 */
export function newerThan(shown: number, files: readonly SeriesFile[]): string | undefined {
  const newest = files.findLast(({ kind }) => kind === 'backup');
  if (newest === undefined || newest.sequence <= shown) return undefined;
  return (
    `dom0 knows of a newer backup of this series than the storage shows: ${printable(newest.fileName)}, ` +
    `number ${newest.sequence}, of ${formatTime(new Date(1000 * newest.made))}. The storage has lost it, or was rolled ` +
    'back to an older state'
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
      isIntact: false,
      ...{ volumes: [], qubesXml: undefined },
      damages: ['it is missing: dom0 knows of it, but the storage does not show it'],
    }));
}
