import { type FileHandle, open } from 'node:fs/promises';
import { FailedError, reasonOf } from '../../../shared/errors.ts';
import { printable } from '../../../shared/printable.ts';
import { KiB, MiB } from '../../../shared/sizes.ts';
import { ExtentList } from './extent-list.ts';
import { type Extent, isZero } from '../../../shared/sparse-data.ts';
import { readWhole } from './read-whole.ts';
import { tarMap } from './tar-map.ts';

/** The unit of `st_blocks`, whatever the file system's block size. */
const STAT_BLOCK = 512;
/** Smaller files are not worth searching for holes. */
const SMALL = 64 * KiB;
/** How much a scan reads at a time, and its granularity when looking for zeros. */
const CHUNK = 1 * MiB;
const GRAIN = 64 * KiB;

/**
 * Where the file or block device at `path`, of `size` bytes, has data: ascending, neither touching
 * nor overlapping. The file system knows; where it does not, and for a block device, everything is read
 * once and searched for zeros. Throws FailedError, naming `path`, when that fails or the size differs.
 */
export async function dataExtents(
  path: string,
  size: number,
  signal: AbortSignal,
): Promise<readonly Extent[]> {
  signal.throwIfAborted();
  await using file = await open(path, 'r').catch((error: unknown) => {
    throw new FailedError(`${printable(path)} cannot be read: ${reasonOf(error)}`);
  });
  const stats = await file.stat();
  if (stats.isFile() && stats.size !== size) {
    throw new FailedError(`${printable(path)} has ${stats.size} bytes, ${size} were expected`);
  }
  const whole = { offset: 0, length: size };
  if (size <= SMALL) return size === 0 ? [] : [whole];
  if (stats.isFile() && (await hasNoData(file))) return [];
  if (stats.isFile()) {
    const map = await tarMap(file.fd, size, signal);
    signal.throwIfAborted();
    if (map !== undefined) return map;
    if (stats.blocks * STAT_BLOCK >= size) return [whole];
  }
  const read = (buffer: Buffer, offset: number) => readWhole(file, buffer, offset, printable(path));
  return await scanExtents(read, size, signal);
}

/**
 * Whether a file larger than `SMALL` has no blocks at all: a volume that was never used. Synced first,
 * since some file systems allocate no blocks for data that is not yet written out. (Smaller files may be
 * stored in the inode.)
 */
async function hasNoData(file: FileHandle): Promise<boolean> {
  if ((await file.stat()).blocks > 0) return false;
  await file.sync();
  return (await file.stat()).blocks === 0;
}

/**
 * Where there is anything but zeros in `size` bytes, rounded to 64 KiB, in one pass over all of them.
 *
 * @param read fills a buffer from an offset; called for one chunk at a time
 */
export async function scanExtents(
  read: (buffer: Buffer, offset: number) => Promise<void>,
  size: number,
  signal: AbortSignal,
): Promise<readonly Extent[]> {
  const list = new ExtentList();
  const buffer = Buffer.allocUnsafeSlow(CHUNK);
  for (let offset = 0; offset < size; offset += CHUNK) {
    signal.throwIfAborted();
    const chunk = buffer.subarray(0, Math.min(CHUNK, size - offset));
    await read(chunk, offset);
    addData(list, chunk, offset);
  }
  return list.extents;
}

function addData(list: ExtentList, chunk: Buffer, offset: number): void {
  if (isZero(chunk)) return;
  for (let at = 0; at < chunk.length; at += GRAIN) {
    const grain = chunk.subarray(at, at + GRAIN);
    if (!isZero(grain)) list.add(offset + at, grain.length);
  }
}
