import { createReadStream } from 'node:fs';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CofferError, FailedError, systemCodeOf } from '../../shared/errors.ts';
import { MiB } from '../../shared/sizes.ts';
import { ID_LENGTH } from '../archive/coffer1/chunk-ids.ts';
import type { EarlierFile } from '../archive/coffer1/earlier-files.ts';
import type { PartsTable } from '../archive/coffer1/parts-table.ts';
import { formatPartsTable, parsePartsTable } from '../archive/coffer1/parts-table-text.ts';
import { type VolumeMap, formatMap, parseMap } from '../archive/coffer1/volume-map.ts';
import { syncDirectory } from '../qubes/replace-file.ts';

/** What is kept of a file of a series. */
export interface FileContents {
  readonly table: PartsTable;
  /** The ids of all its chunks, in the order of the parts. */
  readonly ids: Iterable<Buffer> | AsyncIterable<Buffer>;
  /** Of volumes that were last backed up in it. */
  readonly maps: readonly VolumeMap[];
}

const PARTS = 'parts';
const IDS = 'ids';

/** Whether a file of this name, in the directory for a file of a series, is kept as long as that file is known. */
export function isOfKeptFile(name: string): boolean {
  return name === PARTS || name === IDS;
}

/** The name of the file for a volume's map: no name of a VM or of a volume contains `@`. */
export function mapFileOf(origin: string): string {
  return `${origin.replace('/', '@')}.map`;
}

/** Writes what is kept of a file of a series into a directory for it. Throws the system's errors. */
export async function writeKeptFile(
  directory: string,
  { table, ids, maps }: FileContents,
): Promise<void> {
  await writeNew(join(directory, PARTS), formatPartsTable(table));
  await writeNew(join(directory, IDS), ids);
  for (const map of maps) await writeNew(join(directory, mapFileOf(map.origin)), formatMap(map));
  await syncDirectory(directory);
}

/** Undefined when what is kept of it is missing or damaged: then nothing refers to it. */
export async function readKeptFile(
  directory: string,
): Promise<Omit<EarlierFile, 'backupId'> | undefined> {
  try {
    const parts = createReadStream(join(directory, PARTS));
    const table = await parsePartsTable(parts as AsyncIterable<Buffer>, Infinity);
    const path = join(directory, IDS);
    await using file = await open(path);
    if ((await file.stat()).size !== table.totals().chunks * ID_LENGTH) return undefined;
    return { table, ids: (first, count) => readAt(path, first, count) };
  } catch (error) {
    if (!isUnusable(error)) throw error;
    return undefined;
  }
}

/** The map of a volume that was last backed up in a file; undefined when it is missing or damaged. */
export async function readKeptMap(
  directory: string,
  origin: string,
  grain: number,
): Promise<VolumeMap | undefined> {
  const text = createReadStream(join(directory, mapFileOf(origin)));
  try {
    return await parseMap(text as AsyncIterable<Buffer>, undefined, grain);
  } catch (error) {
    if (!isUnusable(error)) throw error;
    return undefined;
  }
}

async function readAt(path: string, first: number, count: number): Promise<Buffer> {
  await using file = await open(path);
  const ids = Buffer.allocUnsafe(count * ID_LENGTH);
  const { bytesRead } = await file.read(ids, 0, ids.length, first * ID_LENGTH);
  if (bytesRead !== ids.length) throw new FailedError(`${path} is too short`);
  return ids;
}

/** Writes a new file, in the place of one that a run left that was ended. */
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

/** The same bytes in fewer pieces. */
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

/** What is kept of a file cannot be read, or is not what was written. */
function isUnusable(error: unknown): boolean {
  return error instanceof CofferError || systemCodeOf(error) !== undefined;
}
