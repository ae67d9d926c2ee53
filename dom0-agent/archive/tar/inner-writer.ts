import { MiB } from '../../../shared/sizes.ts';
import type { Extent } from '../../../shared/sparse-data.ts';
import { BLOCK, END_OF_TAR, paddingOf } from '../../../shared/tar-block.ts';
import { encodeHeader } from './header-block.ts';
import { MOST_EXTENTS } from './sparse-map.ts';

/** How much is read at a time, and ahead of the consumer. */
const CHUNK = 1 * MiB;
/** How many entries of a map are written at a time. */
const ENTRIES = 4096;

/** Fills `buffer` with the volume's content from `offset`. */
export type ReadAt = (buffer: Buffer, offset: number) => Promise<void>;

/**
 * The inner tar of one volume, as GNU tar reads it: a plain member if there are no holes, else pax sparse 1.0. The same
 * content always gives the same bytes: the member belongs to root, with mode 0600 and the time 0.
 *
 * The next chunk is read while the consumer processes the current one. One read is in progress at a time, and
 * none when the iteration has ended. Each chunk is a new buffer, which the consumer can keep.
 *
 * @param path the member's name, in ASCII
 * @param size in bytes, holes included
 * @param extents where there is data, ascending, within `size`; they are widened to whole blocks
 */
export async function* sparseTar(
  path: string,
  size: number,
  extents: readonly Extent[],
  read: ReadAt,
): AsyncGenerator<Buffer, void, undefined> {
  const data = wholeBlocks(extents, size);
  const stored = data.reduce((sum, extent) => sum + extent.length, 0);
  if (stored === size) {
    yield await encodeHeader(path, size);
  } else {
    let mapSize = 0;
    for (const lines of mapLines(data, size)) mapSize += lines.length;
    const padding = paddingOf(mapSize);
    yield await encodeHeader(
      placeholderName(path),
      mapSize + padding + stored,
      sparseRecords(path, size),
    );
    yield* mapLines(data, size);
    yield Buffer.alloc(padding);
  }
  yield* content(data, read);
  yield Buffer.alloc(paddingOf(stored) + END_OF_TAR);
}

/** The inner tar of one small file. */
export function plainTar(path: string, bytes: Buffer): AsyncIterable<Buffer> {
  return tarOfPieces(path, bytes.length, [bytes]);
}

/** The inner tar of a file of `size` bytes that comes in pieces. */
export async function* tarOfPieces(
  path: string,
  size: number,
  pieces: Iterable<Buffer>,
): AsyncGenerator<Buffer, void, undefined> {
  yield await encodeHeader(path, size);
  yield* pieces;
  yield Buffer.alloc(paddingOf(size) + END_OF_TAR);
}

/**
 * The extents, widened to whole blocks and joined where they meet: GNU tar begins each extent's data with a new block.
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

/** The pax records of a sparse member. */
function sparseRecords(path: string, size: number): Record<string, string> {
  return {
    'GNU.sparse.major': '1',
    'GNU.sparse.minor': '0',
    'GNU.sparse.name': path,
    'GNU.sparse.realsize': String(size),
  };
}

/** The name under which a tar that knows nothing of sparse files unpacks one, as GNU tar writes it. */
function placeholderName(path: string): string {
  const slash = path.lastIndexOf('/') + 1;
  return `${path.slice(0, slash)}GNUSparseFile.0/${path.slice(slash)}`;
}

/** The map of a sparse member. An entry without bytes, at the end, means a hole there. */
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

/** The data in chunks, one of them read ahead. */
async function* content(
  data: readonly Extent[],
  read: ReadAt,
): AsyncGenerator<Buffer, void, undefined> {
  const plans = chunkPlans(data);
  // Settled, so that an error does not count as unhandled before its turn.
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
