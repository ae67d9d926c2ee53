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

/**
 * How many parts are probed before each backup. With a backup every day for a month, the loss of one part in a hundred
 * is noticed in nine cases out of ten: 1 - 0.99^240.
 */
const PROBES = 8;

/** A file of the series, with dom0's copy of its table of parts. */
export interface KnownFile {
  readonly file: SeriesFile;
  readonly table: EarlierFile['table'];
}

/**
 * Fetches parts drawn at random, of those that the volumes need or that interrupted backups have left, and
 * authenticates them. It also checks that the newest file is the one that dom0 knows. If anything is not as it was
 * stored, it checks in the same way that every file is the one that dom0 knows. Returns the files that are not as they
 * were stored. Throws StorageError when no file can be read.
 *
 * @param files the files that the listing shows
 * @param maps the last maps of all volumes
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

/** Undefined: nothing has changed. */
type ProbeOutcome = Error | undefined;

/** Parts that interrupted backups have left, and to which no map refers yet: at least one from each file. */
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

/** The rows of the files' tables in which the parts are. Parts that are nowhere are left out: their loss is known. */
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

/** Checks that a file is the one that dom0 knows, and authenticates the parts in some of its rows. */
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
