import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { eachAtOnce } from '../../shared/at-once.ts';
import { CofferError, DamagedError, FailedError, systemCodeOf } from '../../shared/errors.ts';
import { MiB } from '../../shared/sizes.ts';
import { ID_LENGTH } from '../archive/coffer1/chunk-ids.ts';
import type { EarlierFile } from '../archive/coffer1/earlier-files.ts';
import type { PartsTable } from '../archive/coffer1/parts-table.ts';
import { formatPartsTable, parsePartsTable } from '../archive/coffer1/parts-table-text.ts';
import { type VolumeMap, formatMap, parseMap } from '../archive/coffer1/volume-map.ts';
import { syncDirectory } from '../qubes/replace-file.ts';

/** What dom0 keeps about a file of a series. */
export interface FileContents {
  readonly table: PartsTable;
  /** The ids of all its chunks, in the order of the parts. */
  readonly ids: Iterable<Buffer> | AsyncIterable<Buffer>;
  /** The maps of volumes that were last backed up in it. */
  readonly maps: readonly VolumeMap[];
}

/** How many files are written at the same time: the file system then syncs them together. */
const AT_ONCE = 4;

const PARTS = 'parts';
const IDS = 'ids';

/**
 * Whether a file of this name, in the directory for a file of a series, is kept as long as the latter is known. Maps
 * are not: they are only kept until there is a newer one.
 */
export function isOfKeptFile(name: string): boolean {
  return name === PARTS || name === IDS;
}

/** The name of the file with a volume's map. It is unique because no name of a VM or volume contains `@`. */
export function mapFileOf(origin: string): string {
  return `${origin.replace('/', '@')}.map`;
}

/** Writes what is kept about a file of a series to a directory for it. Throws Node's system errors. */
export async function writeKeptFile(
  directory: string,
  { table, ids, maps }: FileContents,
): Promise<void> {
  const files = [
    { name: PARTS, pieces: () => withDigest(formatPartsTable(table)) },
    { name: IDS, pieces: () => ids },
    ...maps.map((map) => ({
      name: mapFileOf(map.origin),
      pieces: () => withDigest(formatMap(map)),
    })),
  ];
  await eachAtOnce(files, AT_ONCE, ({ name, pieces }) => writeNew(join(directory, name), pieces()));
  await syncDirectory(directory);
}

/** What is kept about a file, for a backup that refers to it; undefined if it is missing or damaged. */
export async function readKeptFile(
  directory: string,
): Promise<Omit<EarlierFile, 'backupId'> | undefined> {
  try {
    const parts = createReadStream(join(directory, PARTS)) as AsyncIterable<Buffer>;
    const table = await parsePartsTable(verified(parts), Infinity);
    const path = join(directory, IDS);
    await using file = await open(path);
    if ((await file.stat()).size !== table.totals().chunks * ID_LENGTH) return undefined;
    return { table, ids: (first, count) => readAt(path, first, count) };
  } catch (error) {
    if (!isUnusable(error)) throw error;
    return undefined;
  }
}

/**
 * The map of a volume that was last backed up in a file; undefined if it is missing or damaged.
 *
 * @param grain bytes in a chunk
 */
export async function readKeptMap(
  directory: string,
  origin: string,
  grain: number,
): Promise<VolumeMap | undefined> {
  const text = createReadStream(join(directory, mapFileOf(origin))) as AsyncIterable<Buffer>;
  try {
    return await parseMap(verified(text), undefined, grain);
  } catch (error) {
    if (!isUnusable(error)) throw error;
    return undefined;
  }
}

const DIGEST_LINE = /^sha256 ([0-9a-f]{64})\n$/;
const DIGEST_LINE_LENGTH = 72;

/**
 * A text, and its SHA-256 in a last line. A changed digit could still be a valid text, and the next backup would refer to
 * the wrong parts. The ids have no such line: the digest in a volume's map shows whether they are wrong.
 */
function* withDigest(text: Iterable<Buffer>): Generator<Buffer, void, undefined> {
  const hash = createHash('sha256');
  for (const piece of text) {
    hash.update(piece);
    yield piece;
  }
  yield Buffer.from(`sha256 ${hash.digest('hex')}\n`);
}

/** The text without that line. Throws DamagedError at the end if it is missing or wrong. */
async function* verified(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  const hash = createHash('sha256');
  let last = Buffer.alloc(0);
  for await (const piece of pieces) {
    const all = Buffer.concat([last, piece]);
    const text = all.subarray(0, Math.max(0, all.length - DIGEST_LINE_LENGTH));
    last = all.subarray(text.length);
    hash.update(text);
    yield text;
  }
  const digest = DIGEST_LINE.exec(last.toString('latin1'))?.[1];
  if (digest !== hash.digest('hex')) throw new DamagedError('a record of dom0 is damaged');
}

async function readAt(path: string, first: number, count: number): Promise<Buffer> {
  await using file = await open(path);
  const ids = Buffer.allocUnsafe(count * ID_LENGTH);
  const { bytesRead } = await file.read(ids, 0, ids.length, first * ID_LENGTH);
  if (bytesRead !== ids.length) throw new FailedError(`${path} is too short`);
  return ids;
}

/** Writes a new file, replacing one that an interrupted run may have left. */
async function writeNew(
  path: string,
  pieces: Iterable<Buffer> | AsyncIterable<Buffer>,
): Promise<void> {
  await rm(path, { force: true });
  const file: FileHandle = await open(path, 'wx', 0o600);
  try {
    for await (const batch of batches(pieces)) await file.writeFile(batch);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** The same bytes in pieces of about 1 MiB. */
async function* batches(
  pieces: Iterable<Buffer> | AsyncIterable<Buffer>,
): AsyncGenerator<Buffer, void, undefined> {
  let batch: Buffer[] = [];
  let length = 0;
  for await (const piece of pieces) {
    length += piece.length;
    batch.push(piece);
    if (length < MiB) continue;
    yield Buffer.concat(batch);
    batch = [];
    length = 0;
  }
  yield Buffer.concat(batch);
}

/** Whether the error means that what is kept about a file cannot be read, or is not what was written. */
function isUnusable(error: unknown): boolean {
  return error instanceof CofferError || systemCodeOf(error) !== undefined;
}
