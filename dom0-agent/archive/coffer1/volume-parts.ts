import type { Extent } from '../../../shared/sparse-data.ts';
import type { BufferPool } from '../parts/buffer-pool.ts';
import type { FilledBuffer } from '../parts/cut-into-buffers.ts';
import type { VolumeContent } from '../content.ts';
import { type Cut, PART_TEXT_LENGTH } from './coffer1-header.ts';
import { type ChunkRun, type PartText, formatPartText } from './part-text.ts';

/** A part before it is compressed, in memory that must be given back. */
export interface PlainPart extends FilledBuffer {
  /** It is at the beginning of `bytes`; the chunks are behind it. */
  readonly text: PartText;
}

/**
 * The chunks of a volume that are not all zeros, in parts; at least one part, if need be without chunks, so that
 * whoever reads a stream learns of the volume where its data would be.
 *
 * @param pool has room for two parts at least
 */
export async function* partsOfVolume(
  volume: VolumeContent,
  { grain, partSize }: Cut,
  pool: BufferPool,
): AsyncGenerator<PlainPart, void, undefined> {
  let index = 0;
  /** A part that is full, and the last one unless more data is found. */
  let full: PartInWork | undefined;
  const size = PART_TEXT_LENGTH + partSize;
  let part = new PartInWork(await pool.take(size), grain);
  for (const { first, count } of chunkRuns(volume.extents, grain)) {
    for (let done = 0; done < count;) {
      const read = Math.min(count - done, part.room);
      await part.read(volume, first + done, read);
      done += read;
      if (full !== undefined && part.count > 0) {
        yield full.finish(volume, index++, false);
        full = undefined;
      }
      if (part.room > 0) continue;
      full = part;
      part = new PartInWork(await pool.take(size), grain);
    }
  }
  if (full === undefined) {
    yield part.finish(volume, index, true);
  } else {
    pool.give(part.buffer);
    yield full.finish(volume, index, true);
  }
}

/** The chunks that hold any byte of the extents, in runs. */
function* chunkRuns(
  extents: readonly Extent[],
  grain: number,
): Generator<ChunkRun, void, undefined> {
  let from = 0;
  let to = 0;
  for (const { offset, length } of extents) {
    if (length === 0) continue;
    const first = Math.floor(offset / grain);
    const end = Math.ceil((offset + length) / grain);
    if (first > to) {
      if (to > from) yield { first: from, count: to - from };
      from = first;
    }
    to = Math.max(to, end);
  }
  if (to > from) yield { first: from, count: to - from };
}

/** A part that is being filled. */
class PartInWork {
  readonly buffer: Buffer;
  readonly #grain: number;
  readonly #zeros: Buffer;
  readonly #runs: { first: number; count: number }[] = [];
  #count = 0;

  constructor(buffer: Buffer, grain: number) {
    this.buffer = buffer;
    this.#grain = grain;
    this.#zeros = zeros(grain);
  }

  /** How many chunks it holds. */
  get count(): number {
    return this.#count;
  }

  /** For how many more chunks there is room. */
  get room(): number {
    return (this.buffer.length - PART_TEXT_LENGTH) / this.#grain - this.#count;
  }

  /** Reads chunks of the volume, and keeps those that are not all zeros. */
  async read({ size, read }: VolumeContent, first: number, count: number): Promise<void> {
    const from = this.#count;
    const start = first * this.#grain;
    const length = Math.min(count * this.#grain, size - start);
    const target = this.buffer.subarray(this.#placeOf(from), this.#placeOf(from + count));
    await read(target.subarray(0, length), start);
    target.fill(0, length);
    for (let i = 0; i < count; i++) this.#keep(first + i, this.#chunk(from + i));
  }

  finish({ path, size, domain }: VolumeContent, index: number, last: boolean): PlainPart {
    const text = { path, size, domain, index, last, runs: this.#runs };
    formatPartText(text).copy(this.buffer);
    const bytes = this.buffer.subarray(0, this.#placeOf(this.#count));
    return { text, bytes, buffer: this.buffer };
  }

  #keep(number: number, chunk: Buffer): void {
    if (chunk.equals(this.#zeros)) return;
    const place = this.#chunk(this.#count++);
    if (place.byteOffset !== chunk.byteOffset) chunk.copy(place);
    const last = this.#runs.at(-1);
    if (last !== undefined && last.first + last.count === number) last.count++;
    else this.#runs.push({ first: number, count: 1 });
  }

  #chunk(place: number): Buffer {
    return this.buffer.subarray(this.#placeOf(place), this.#placeOf(place + 1));
  }

  #placeOf(chunk: number): number {
    return PART_TEXT_LENGTH + chunk * this.#grain;
  }
}

let lastZeros = Buffer.alloc(0);

function zeros(length: number): Buffer {
  if (lastZeros.length !== length) lastZeros = Buffer.alloc(length);
  return lastZeros;
}
