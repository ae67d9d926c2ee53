import { ByteReader } from '../../../shared/byte-reader.ts';
import { ChildProcess, whyNotRun } from '../../../shared/child-process.ts';
import { DamagedError, FailedError } from '../../../shared/errors.ts';
import { isOldGnuSparse, oldGnuRealSize, readOldGnuMap } from '../../../shared/old-gnu-sparse.ts';
import { BLOCK } from '../../../shared/tar-block.ts';
import { printable } from '../../../shared/printable.ts';
import { ExtentList } from './extent-list.ts';
import type { Extent } from '../../../shared/sparse-data.ts';

/**
 * Where the regular file `fd` has data, according to GNU tar: Node has no SEEK_HOLE. tar starts writing
 * the file as a sparse member, and is killed as soon as it has written the map, so that hardly any data
 * is read.
 *
 * Undefined when tar sees no holes. Throws FailedError when tar fails, or finds another size.
 */
export async function tarMap(
  fd: number,
  size: number,
  signal: AbortSignal,
): Promise<readonly Extent[] | undefined> {
  // Through the descriptor, so that no strange name gets into tar's arguments or its header.
  const args = ['--create', '--file=-', '--format=gnu', '--sparse', '--hole-detection=seek'];
  await using tar = new ChildProcess(
    ['tar', ...args, '--dereference', '--absolute-names', '/proc/self/fd/3'],
    // Without TAR_OPTIONS, which could change anything.
    { descriptor3: fd, env: { PATH: process.env['PATH'], LC_ALL: 'C' }, signal },
  );
  const map = await readMap(tar.stdout as AsyncIterable<Buffer>, size);
  if (!(map instanceof DamagedError)) return map;
  const { notRun, untrustedStderr } = await tar.ended;
  signal.throwIfAborted();
  const why = notRun ? whyNotRun('tar', notRun) : printable(untrustedStderr) || map.message;
  throw new FailedError(`tar cannot find the holes of a volume: ${why}`);
}

/** Returns a DamagedError when the map is cut short; tar says why. Reads no further than the map. */
async function readMap(
  output: AsyncIterable<Buffer>,
  size: number,
): Promise<readonly Extent[] | undefined | DamagedError> {
  await using bytes = new ByteReader(output, "tar's output");
  try {
    const header = await bytes.exact(BLOCK);
    if (!isOldGnuSparse(header)) return undefined;
    checkSize(oldGnuRealSize(header), size);
    const list = new ExtentList();
    await readOldGnuMap(header, bytes, list);
    return list.extents;
  } catch (error) {
    if (error instanceof DamagedError) return error;
    throw error;
  }
}

function checkSize(found: number | undefined, size: number): void {
  if (found === size) return;
  throw new FailedError(
    `a volume has ${found ?? 'other'} bytes instead of ${size}: it is being changed; stop whatever uses it`,
  );
}
