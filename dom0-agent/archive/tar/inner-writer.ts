import { Readable } from 'node:stream';
import { MiB } from '../../../shared/sizes.ts';
import { BLOCK, paddingOf } from '../../../shared/tar-block.ts';
import type { Extent } from '../../../shared/sparse-data.ts';
import { LARGEST_OCTAL, LONGEST_NAME, encodeHeader } from './inner-header.ts';
import { type PaxRecord, encodePax } from './pax.ts';
import { MOST_EXTENTS } from './sparse-map.ts';

/** How much is read at a time, and is under way while the consumer works. */
const CHUNK = 1 * MiB;
/** How many entries of a map are written at a time. */
const ENTRIES = 4096;

/** Fills `buffer` with what the volume has from `offset` on. */
export type ReadAt = (buffer: Buffer, offset: number) => Promise<void>;

/**
 * The inner tar of one volume, as GNU tar reads it: a plain member where there are no holes, pax
 * sparse 1.0 where there are. The same bytes come out for the same content: the member belongs
 * to root, with mode 0600 and the time `mtime`.
 *
 * The next chunk is read while the consumer takes the present one. One read is under way at a
 * time, and none when the iteration has ended. Each chunk has memory of its own: a consumer can keep it.
 *
 * @param path the member's name; one character is one byte
 * @param size in bytes, holes included
 * @param extents where there is data, ascending, within `size`; they are widened to whole blocks
 * @param mtime in whole seconds since 1970
 */
export async function* sparseTar(
  path: string,
  size: number,
  extents: readonly Extent[],
  read: ReadAt,
  mtime = 0,
): AsyncGenerator<Buffer, void, undefined> {
  const data = wholeBlocks(extents, size);
  const stored = data.reduce((sum, extent) => sum + extent.length, 0);
  if (stored === size) {
    yield memberHeader(path, size, [], mtime);
  } else {
    let mapSize = 0;
    for (const lines of mapLines(data, size)) mapSize += lines.length;
    mapSize += paddingOf(mapSize);
    yield memberHeader(path, mapSize + stored, sparseRecords(path, size), mtime);
    yield* paddedMap(data, size);
  }
  yield* content(data, read);
  yield Buffer.alloc(paddingOf(stored) + 2 * BLOCK);
}

/** The inner tar of one small file. */
export function plainTar(path: string, bytes: Buffer, mtime = 0): AsyncIterable<Buffer> {
  return tarOfPieces(path, bytes.length, [bytes], mtime);
}

/** The inner tar of a file of `size` bytes that comes in pieces. */
export function tarOfPieces(
  path: string,
  size: number,
  pieces: Iterable<Buffer>,
  mtime = 0,
): AsyncIterable<Buffer> {
  function* chunks(): Generator<Buffer, void, undefined> {
    yield memberHeader(path, size, [], mtime);
    yield* pieces;
    yield Buffer.alloc(paddingOf(size) + 2 * BLOCK);
  }
  return Readable.from(chunks());
}

/**
 * The extents, widened to whole blocks and joined where they meet: GNU tar begins each extent's
 * data with a new block.
 */
function wholeBlocks(extents: readonly Extent[], size: number): Extent[] {
  const joined: { offset: number; length: number }[] = [];
  let last: { offset: number; length: number } | undefined;
  let former = 0;
  for (const { offset, length } of extents) {
    if (offset < former || length < 0 || offset + length > size) {
      throw new RangeError(`the extents of a volume must ascend within its ${size} bytes`);
    }
    former = offset + length;
    if (length === 0) continue;
    const start = offset - (offset % BLOCK);
    const end = Math.min(former + paddingOf(former), size);
    if (last !== undefined && start <= last.offset + last.length) {
      last.length = end - last.offset;
    } else {
      last = { offset: start, length: end - start };
      joined.push(last);
    }
  }
  if (joined.length >= MOST_EXTENTS) throw new RangeError('a volume has too many extents');
  return joined;
}

/** The header of a member, with a pax header before it where that is needed. */
function memberHeader(
  path: string,
  storedSize: number,
  sparse: readonly PaxRecord[],
  mtime: number,
): Buffer {
  const isSparse = sparse.length > 0;
  const records = [...sparse];
  if (!isSparse && path.length > LONGEST_NAME) records.push(['path', path]);
  if (storedSize > LARGEST_OCTAL) records.push(['size', String(storedSize)]);
  const header = encodeHeader(isSparse ? stowedName(path) : path, storedSize, '0', mtime);
  if (records.length === 0) return header;
  const pax = encodePax(records);
  return Buffer.concat([
    encodeHeader('PaxHeaders/volume', pax.length, 'x', mtime),
    pax,
    Buffer.alloc(paddingOf(pax.length)),
    header,
  ]);
}

function sparseRecords(path: string, size: number): PaxRecord[] {
  return [
    ['GNU.sparse.major', '1'],
    ['GNU.sparse.minor', '0'],
    ['GNU.sparse.name', path],
    ['GNU.sparse.realsize', String(size)],
  ];
}

/** The name under which a tar that knows nothing of sparse files unpacks one: GNU tar's way. */
function stowedName(path: string): string {
  const slash = path.lastIndexOf('/') + 1;
  return `${path.slice(0, slash)}GNUSparseFile.0/${path.slice(slash)}`;
}

/** The map of a sparse member. An entry without bytes, at the end, tells of a hole there. */
function* mapLines(data: readonly Extent[], size: number): Generator<Buffer> {
  const last = data.at(-1);
  const endsInHole = last === undefined || last.offset + last.length < size;
  yield Buffer.from(`${data.length + (endsInHole ? 1 : 0)}\n`, 'latin1');
  for (let i = 0; i < data.length; i += ENTRIES) {
    const entries = data.slice(i, i + ENTRIES);
    yield Buffer.from(entries.map((one) => `${one.offset}\n${one.length}\n`).join(''), 'latin1');
  }
  if (endsInHole) yield Buffer.from(`${size}\n0\n`, 'latin1');
}

function* paddedMap(data: readonly Extent[], size: number): Generator<Buffer> {
  let mapSize = 0;
  for (const lines of mapLines(data, size)) {
    mapSize += lines.length;
    yield lines;
  }
  yield Buffer.alloc(paddingOf(mapSize));
}

/** The data in chunks, one of them read ahead. */
async function* content(
  data: readonly Extent[],
  read: ReadAt,
): AsyncGenerator<Buffer, void, undefined> {
  const plans = chunkPlans(data);
  // Settled, as an error must wait for its turn without being called unhandled.
  const start = (): Promise<PromiseSettledResult<Buffer>[]> | undefined => {
    const plan = plans.next();
    return plan.done === true ? undefined : Promise.allSettled([fill(plan.value, read)]);
  };
  let ahead = start();
  try {
    while (ahead !== undefined) {
      const [result] = await ahead;
      if (result?.status !== 'fulfilled') throw result?.reason;
      ahead = start();
      yield result.value;
    }
  } finally {
    await ahead;
  }
}

/** The extents, or parts of them, that make up one chunk. */
function* chunkPlans(data: readonly Extent[]): Generator<Extent[]> {
  let plan: Extent[] = [];
  let room = CHUNK;
  for (const { offset, length } of data) {
    for (let done = 0; done < length;) {
      const part = Math.min(length - done, room);
      plan.push({ offset: offset + done, length: part });
      done += part;
      room -= part;
      if (room > 0) continue;
      yield plan;
      plan = [];
      room = CHUNK;
    }
  }
  if (plan.length > 0) yield plan;
}

async function fill(plan: readonly Extent[], read: ReadAt): Promise<Buffer> {
  const chunk = Buffer.allocUnsafeSlow(plan.reduce((sum, part) => sum + part.length, 0));
  let filled = 0;
  for (const { offset, length } of plan) {
    await read(chunk.subarray(filled, filled + length), offset);
    filled += length;
  }
  return chunk;
}
