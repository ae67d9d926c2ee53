import { randomInt } from 'node:crypto';
import { DamagedError, RefusedError, StorageError } from '../../shared/errors.ts';
import { drawParts } from '../archive/coffer1/drawn-parts.ts';
import type { EarlierFile } from '../archive/coffer1/earlier-files.ts';
import type { PartPlace } from '../archive/coffer1/known-chunks.ts';
import { authenticateParts } from '../archive/coffer1/open-parts.ts';
import { PartOffsets } from '../archive/coffer1/part-offsets.ts';
import { storedParts } from '../archive/coffer1/planned-parts.ts';
import type { SeriesKey } from '../archive/coffer1/series-key.ts';
import { openSeriesFile } from '../archive/coffer1/open-series-file.ts';
import type { VolumeMap } from '../archive/coffer1/volume-map.ts';
import type { StoredFiles } from '../transport/storage.ts';
import { leftByBackups } from './left-by-backups.ts';
import type { SeriesFile } from './series-state.ts';

/** So many parts are looked at before each backup: within a month, one lost part in a hundred is noticed in nine cases of ten. */
const PROBES = 8;

/** A file of the series, with what dom0 knows to lie in it. */
export interface KnownFile {
  readonly file: SeriesFile;
  readonly table: EarlierFile['table'];
}

/**
 * Fetches some parts that the volumes need, or that wait for a backup to need them, drawn at random, and authenticates them; looks whether the newest file is
 * the one that dom0 knows. As soon as anything is not as it was, all files are looked at in this way. Gives the files that
 * are not there as they were stored. Throws StorageError when none can be read.
 *
 * @param files those that are said to be there
 * @param maps what the volumes need
 */
export async function probeSeries(
  directory: StoredFiles,
  key: SeriesKey,
  files: readonly KnownFile[],
  maps: readonly VolumeMap[],
  signal: AbortSignal,
): Promise<SeriesFile[]> {
  const rows = rowsOf([...drawParts(maps, PROBES), ...drawLeft(files)], files);
  const newest = files.reduce<KnownFile | undefined>(
    (last, each) => (each.file.sequence >= (last?.file.sequence ?? 0) ? each : last),
    undefined,
  );
  if (newest !== undefined && !rows.has(newest)) rows.set(newest, []);
  const probe = async (known: KnownFile): Promise<ProbeOutcome> => {
    signal.throwIfAborted();
    return await probeFile(directory, key, known, rows.get(known) ?? [], signal);
  };
  const outcomes = new Map<KnownFile, ProbeOutcome>();
  for (const known of rows.keys()) outcomes.set(known, await probe(known));
  const isSound = [...outcomes.values()].every((outcome) => outcome === undefined);
  if (isSound) return [];
  for (const known of files) {
    if (!outcomes.has(known)) outcomes.set(known, await probe(known));
  }
  const [first] = [...outcomes.values()].filter((outcome) => outcome instanceof StorageError);
  const isAnyRead = [...outcomes.values()].some((outcome) => !(outcome instanceof StorageError));
  if (first !== undefined && !isAnyRead) throw first;
  return files.filter((known) => outcomes.get(known) !== undefined).map(({ file }) => file);
}

/** Undefined: all is as it was. */
type ProbeOutcome = Error | undefined;

/** Parts of what backups that were interrupted have left, to which no map refers yet: at least one of each file. */
function drawLeft(files: readonly KnownFile[]): PartPlace[] {
  const byNumber = files.toSorted((one, other) => one.file.sequence - other.file.sequence);
  const left = new Set(leftByBackups(byNumber.map(({ file }) => file)));
  const ofEach = Math.ceil(PROBES / left.size);
  return files
    .filter(({ file, table }) => left.has(file) && table.own > 0)
    .flatMap(({ file: { backupId }, table }) => {
      const drawn = new Set(Array.from({ length: ofEach }, () => randomInt(table.own)));
      return [...drawn].map((part) => ({ backupId, part }));
    });
}

/** Which rows of which files the parts lie in. What lies nowhere is known to be lost already. */
function rowsOf(
  parts: readonly PartPlace[],
  files: readonly KnownFile[],
): Map<KnownFile, number[]> {
  const rows = new Map<KnownFile, number[]>();
  for (const { backupId, part } of parts) {
    for (const known of files) {
      const isHere = known.file.backupId === backupId;
      const row = known.table.rowOf(isHere ? undefined : backupId, part);
      if (row === undefined) continue;
      rows.set(known, [...(rows.get(known) ?? []), row]);
      break;
    }
  }
  return rows;
}

/** Authenticates that a file is the one that is known, and that the parts in some of its rows are as they were. */
async function probeFile(
  directory: StoredFiles,
  key: SeriesKey,
  { file: { fileName, backupId, mac }, table }: KnownFile,
  rows: readonly number[],
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  try {
    const file = await openSeriesFile(await directory.open(fileName), key, signal);
    if (file.backupId !== backupId || file.manifestMac !== mac) {
      return new DamagedError(`${fileName} has been replaced by another file`);
    }
    const parts = new PartOffsets(table, file.places.parts, file.manifest);
    const located = rows.toSorted((one, other) => one - other).map((row) => ({ file, parts, row }));
    await authenticateParts(
      storedParts(() => located, directory),
      file.opened.key,
    );
    return undefined;
  } catch (error) {
    const isAnswer =
      error instanceof DamagedError ||
      error instanceof RefusedError ||
      error instanceof StorageError;
    if (!isAnswer) throw error;
    return error;
  }
}
