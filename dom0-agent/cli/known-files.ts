import { CofferError } from '../../shared/errors.ts';
import { formatTime } from '../../shared/local-time.ts';
import { printable } from '../../shared/printable.ts';
import type { Report } from '../../shared/report.ts';
import type { CheckedFile, InSeries } from '../archive/archive.ts';
import type { BackupCheck } from '../backup/backup-record.ts';
import type { SeriesFile, SeriesState } from '../backup/series-state.ts';
import { SeriesStore } from '../backup/series-store.ts';
import type { OpenedSystem } from './open-system.ts';

/** The files of a series that dom0 knows; none if it knows nothing about it, or its records cannot be read. */
export async function knownFiles(
  opened: OpenedSystem,
  seriesId: string | undefined,
  report: Report,
): Promise<readonly SeriesFile[]> {
  const states = seriesId === undefined ? [] : await knownStates(opened, report);
  return states.find(({ head }) => head.seriesId === seriesId)?.files ?? [];
}

/** The last checks of the files of all these series, by the files' ids. */
export function checksIn(states: readonly SeriesState[]): ReadonlyMap<string, BackupCheck> {
  const files = states.flatMap((state) => state.files);
  return new Map(files.flatMap(({ backupId, check }) => (check ? [[backupId, check]] : [])));
}

/** A check, for programs: docs/json.md. */
export function checkForPrograms(check: BackupCheck | undefined) {
  return check && { ...check, at: new Date(1000 * check.at).toISOString() };
}

/** All series that dom0 knows; none, with a warning, if its records cannot be read. */
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

/** Warns if dom0 knows a newer backup than the newest one that a directory shows. */
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
 * A sentence for the user if dom0 knows a newer backup of a series than the newest one that a directory shows;
 * otherwise undefined.
 *
 * @param shown the number of the newest one that the directory shows
 * @param files the files of the series that dom0 knows
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

/** The files that dom0 knows and that were not checked, because they are missing: each counts as damaged. */
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
