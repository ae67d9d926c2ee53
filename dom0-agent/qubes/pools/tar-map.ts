import { ChildProcess, whyNotRun } from '../../../shared/child-process.ts';
import { FailedError } from '../../../shared/errors.ts';
import { printable } from '../../../shared/printable.ts';
import { ExtentList } from './extent-list.ts';
import type { Extent } from '../system.ts';

const BLOCK = 512;

/** Where an old GNU sparse header has its map (struct oldgnu_header in GNU tar's tar.h). */
const HEADER = { entriesAt: 386, entries: 4, extendedAt: 482 };
/** The same of the blocks that go on with it (struct sparse_header). */
const EXTENSION = { entriesAt: 0, entries: 21, extendedAt: 504 };
const TYPE_AT = 156;
const REAL_SIZE_AT = 483;
const NUMBER = 12;

/**
 * Where the regular file `fd` has data, as GNU tar finds out: Node cannot ask the file system
 * (SEEK_HOLE). tar begins to write the file as a sparse member, and is ended as soon as it has
 * told the map, so that next to no data is read.
 *
 * Undefined when tar sees no holes. Throws FailedError when tar fails, or finds another size.
 */
export async function tarMap(
  fd: number,
  size: number,
  signal: AbortSignal,
): Promise<readonly Extent[] | undefined> {
  // Through the descriptor no name, however strange, gets into tar's arguments or its header.
  const args = ['--create', '--file=-', '--format=gnu', '--sparse', '--hole-detection=seek'];
  await using tar = new ChildProcess(
    ['tar', ...args, '--dereference', '--absolute-names', '/proc/self/fd/3'],
    // Not TAR_OPTIONS, which could ask for anything.
    { descriptor3: fd, env: { PATH: process.env['PATH'], LC_ALL: 'C' }, signal },
  );
  const map = await readMap(blocksOf(tar.stdout as AsyncIterable<Buffer>), size);
  if (map !== 'incomplete') return map;
  const { notRun, untrustedStderr } = await tar.ended;
  signal.throwIfAborted();
  const why = notRun ? whyNotRun('tar', notRun) : printable(untrustedStderr);
  throw new FailedError(`tar cannot find the holes of a volume: ${why}`);
}

async function readMap(
  blocks: AsyncIterable<Buffer>,
  size: number,
): Promise<readonly Extent[] | undefined | 'incomplete'> {
  const list = new ExtentList();
  let layout = HEADER;
  for await (const block of blocks) {
    if (layout === HEADER) {
      if (block.toString('latin1', TYPE_AT, TYPE_AT + 1) !== 'S') return undefined;
      checkSize(numberAt(block, REAL_SIZE_AT), size);
    }
    addEntries(list, block, layout);
    if (block[layout.extendedAt] === 0) return list.extents;
    layout = EXTENSION;
  }
  return 'incomplete';
}

function checkSize(found: number, size: number): void {
  if (found === size) return;
  throw new FailedError(
    `a volume has ${found} bytes instead of ${size}: it is being changed; stop what uses it`,
  );
}

function addEntries(list: ExtentList, block: Buffer, layout: typeof HEADER): void {
  for (let i = 0; i < layout.entries; i++) {
    const at = layout.entriesAt + 2 * NUMBER * i;
    if (block[at + NUMBER] === 0) return;
    list.add(numberAt(block, at), numberAt(block, at + NUMBER));
  }
}

/** Octal digits; from 8 GiB on, with the first bit set, 64 bits at the field's end. */
function numberAt(block: Buffer, at: number): number {
  return (block[at] ?? 0) >= 0x80
    ? Number(block.readBigUInt64BE(at + NUMBER - 8))
    : parseInt(block.toString('latin1', at, at + NUMBER), 8);
}

async function* blocksOf(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (rest.length >= BLOCK) {
      yield rest.subarray(0, BLOCK);
      rest = rest.subarray(BLOCK);
    }
  }
}
