import { CofferError, RefusedError } from '../../shared/errors.ts';
import { formatTime } from '../../shared/local-time.ts';
import { printable } from '../../shared/printable.ts';
import type { Report } from '../../shared/report.ts';
import type { CheckedFile, InSeries } from '../archive/archive.ts';
import type { BackupCheck } from '../backup/backup-record.ts';
import type { SeriesFile, SeriesState } from '../backup/series-state.ts';
import { SeriesStore } from '../backup/series-store.ts';
import type { StoredFiles } from '../transport/storage.ts';
import type { OpenedSystem } from './open-system.ts';

/** What dom0 knows about a series; undefined if it knows nothing, or its records cannot be read. */
export async function knownState(
  opened: OpenedSystem,
  seriesId: string | undefined,
  report: Report,
): Promise<SeriesState | undefined> {
  const states = seriesId === undefined ? [] : await knownStates(opened, report);
  return states.find(({ head }) => head.seriesId === seriesId);
}

/** The last checks of the files in a directory, by their ids. Copies in another place were not checked with them. */
export function checksIn(
  directory: string,
  states: readonly SeriesState[],
): ReadonlyMap<string, BackupCheck> {
  const files = states.filter(({ place }) => place === directory).flatMap((state) => state.files);
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
  directory: string,
  report: Report,
): Promise<void> {
  const known = await knownState(opened, inSeries?.seriesId, report);
  const newer = known && inSeries && newerThan(inSeries.sequence, directory, known);
  if (newer !== undefined) report.warning(newer);
}

/**
 * A sentence for the user if dom0 knows a newer backup of a series than the newest one that a directory shows;
 * otherwise undefined.
 *
 * @param shown the number of the newest one that the directory shows
 * @param state the place and the files of the series that dom0 knows
 */
export function newerThan(
  shown: number,
  directory: string,
  { place, files }: Pick<SeriesState, 'place' | 'files'>,
): string | undefined {
  const newest = files.findLast(({ kind }) => kind === 'backup');
  if (newest === undefined || newest.sequence <= shown) return undefined;
  const which = `${printable(newest.fileName)}, number ${newest.sequence}, of ${formatTime(new Date(1000 * newest.made))}`;
  return place === directory
    ? `dom0 knows of a newer backup of this series than the storage shows: ${which}. The storage has lost it, or was ` +
        'rolled back to an older state'
    : `dom0 knows of a newer backup of this series in ${printable(place)}: ${which}`;
}

/** The files that dom0 knows and that were not found in their directory. */
export function notFound(
  known: readonly SeriesFile[],
  found: readonly CheckedFile[],
): SeriesFile[] {
  const there = new Set(found.map(({ backupId }) => backupId));
  return known.filter(({ backupId }) => !there.has(backupId));
}

/**
 * The same files as damaged ones: they are missing, or what is there under their names does not begin as they did.
 * Throws StorageError.
 */
export async function asDamaged(
  files: readonly SeriesFile[],
  directory: StoredFiles | undefined,
): Promise<{ readonly missing: CheckedFile[]; readonly spoiled: CheckedFile[] }> {
  const [missing, spoiled]: [CheckedFile[], CheckedFile[]] = [[], []];
  for (const file of files) {
    if (await isThere(file, directory)) spoiled.push(damaged(file, SPOILED));
    else missing.push(damaged(file, MISSING));
  }
  return { missing, spoiled };
}

const MISSING = 'it is missing: dom0 knows of it, but the storage does not show it';
const SPOILED = 'it does not begin as it did when it was stored';

async function isThere(
  { fileName }: SeriesFile,
  directory: StoredFiles | undefined,
): Promise<boolean> {
  try {
    return (await directory?.open(fileName)) !== undefined;
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error;
    return false;
  }
}

function damaged(
  { fileName, backupId, bytes, kind, made, sequence }: SeriesFile,
  damage: string,
): CheckedFile {
  return {
    ...{ name: printable(fileName), backupId, size: bytes, kind },
    ...{ made: new Date(1000 * made), sequence, isIntact: false },
    ...{ volumes: [], qubesXml: undefined, damages: [damage] },
  };
}
