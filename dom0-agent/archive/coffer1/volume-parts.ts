import type { BufferPool } from '../parts/buffer-pool.ts';
import type { FilledBuffer } from '../parts/cut-into-buffers.ts';
import { prefetch } from '../parts/prefetch.ts';
import { type Cut, PART_TEXT_LENGTH } from './coffer1-header.ts';
import { type ChunkRun, type PartText, formatPartText } from './part-text.ts';
import type { WrittenVolume } from './written-volume.ts';

/** A part before it is compressed, in memory that must be given back. */
export interface PlainPart extends FilledBuffer {
  /** Its number among the parts that were born in this file. */
  readonly number: number;
  /** It is at the beginning of `bytes`; the chunks are behind it. */
  readonly text: PartText;
  /** Of its chunks, in their order. */
  readonly ids: readonly Buffer[];
}

/** How a file is cut up, and what a volume's parts need of it. */
export interface PartsOptions {
  readonly cut: Cut;
  /** Has room for three parts at least. */
  readonly pool: BufferPool;
  /** Gives the number of the part that is made next. */
  readonly nextPart: () => number;
  /**
   * Whether a volume without new chunks has one part nevertheless, so that whoever reads a stream learns of the volume
   * where its data would be.
   */
  readonly announces: boolean;
}

/** The chunks of a volume that are not all zeros, and that no earlier file holds, in parts. */
export async function* partsOfVolume(
  volume: WrittenVolume,
  { cut, pool, nextPart, announces }: PartsOptions,
): AsyncGenerator<PlainPart, void, undefined> {
  const zeros = zerosOf(cut.grain);
  let index = 0;
  let part: PartInWork | undefined;
  for await (const step of prefetch(readSteps(volume, cut, pool))) {
    if (step.kind === 'keep') {
      volume.keep(step);
      continue;
    }
    const { first, count, buffer } = step;
    for (let i = 0; i < count; i++) {
      const chunk = chunkIn(buffer, i, cut.grain);
      if (chunk.equals(zeros)) continue;
      const id = volume.idOf(chunk);
      if (volume.refer(first + i, id)) continue;
      if (part?.isFull === true) {
        yield part.finish(index++, false);
        part = undefined;
      }
      // What is read into a buffer mostly becomes a part there.
      part ??= new PartInWork(buffer, cut.grain, volume, nextPart());
      part.add(first + i, id, chunk);
    }
    if (part?.buffer !== buffer) pool.give(buffer);
  }
  if (part === undefined && announces) {
    part = new PartInWork(await pool.take(bufferSize(cut)), cut.grain, volume, nextPart());
  }
  if (part !== undefined) yield part.finish(index, true);
}

/** Chunks that were read, in a buffer where a part would have them. */
interface ReadChunks extends ChunkRun {
  readonly kind: 'read';
  readonly buffer: Buffer;
}

/** The steps of a volume; what is to be read has been. */
async function* readSteps(
  volume: WrittenVolume,
  cut: Cut,
  pool: BufferPool,
): AsyncGenerator<ReadChunks | (ChunkRun & { readonly kind: 'keep' }), void, undefined> {
  const { size, read } = volume.content;
  const { grain, partSize } = cut;
  for (const { kind, first, count } of volume.steps()) {
    if (kind === 'keep') {
      yield { kind, first, count };
      continue;
    }
    for (let done = 0; done < count;) {
      const buffer = await pool.take(bufferSize(cut));
      const chunks = { first: first + done, count: Math.min(count - done, partSize / grain) };
      const start = chunks.first * grain;
      const length = Math.min(chunks.count * grain, size - start);
      const target = buffer.subarray(PART_TEXT_LENGTH, PART_TEXT_LENGTH + chunks.count * grain);
      await read(target.subarray(0, length), start);
      target.fill(0, length);
      yield { kind, ...chunks, buffer };
      done += chunks.count;
    }
  }
}

/** A part that is being filled. */
class PartInWork {
  readonly buffer: Buffer;
  readonly #grain: number;
  readonly #volume: WrittenVolume;
  readonly #number: number;
  readonly #runs: { first: number; count: number }[] = [];
  readonly #ids: Buffer[] = [];

  constructor(buffer: Buffer, grain: number, volume: WrittenVolume, number: number) {
    this.buffer = buffer;
    this.#grain = grain;
    this.#volume = volume;
    this.#number = number;
  }

  /** Whether there is room for no other chunk. */
  get isFull(): boolean {
    return PART_TEXT_LENGTH + (this.#ids.length + 1) * this.#grain > this.buffer.length;
  }

  /** @param chunk may lie in the part's buffer, behind its place */
  add(number: number, id: Buffer, chunk: Buffer): void {
    const offset = this.#ids.length;
    this.#volume.store(number, id, this.#number, offset);
    this.#ids.push(id);
    const place = chunkIn(this.buffer, offset, this.#grain);
    if (place.buffer !== chunk.buffer || place.byteOffset !== chunk.byteOffset) chunk.copy(place);
    const last = this.#runs.at(-1);
    if (last !== undefined && last.first + last.count === number) last.count++;
    else this.#runs.push({ first: number, count: 1 });
  }

  finish(index: number, last: boolean): PlainPart {
    const { path, size, domain } = this.#volume.content;
    const text = { path, size, domain, index, last, runs: this.#runs };
    formatPartText(text).copy(this.buffer);
    const bytes = this.buffer.subarray(0, PART_TEXT_LENGTH + this.#ids.length * this.#grain);
    return { number: this.#number, text, ids: this.#ids, bytes, buffer: this.buffer };
  }
}

function bufferSize({ partSize }: Cut): number {
  return PART_TEXT_LENGTH + partSize;
}

function chunkIn(buffer: Buffer, place: number, grain: number): Buffer {
  const start = PART_TEXT_LENGTH + place * grain;
  return buffer.subarray(start, start + grain);
}

let lastZeros = Buffer.alloc(0);

function zerosOf(length: number): Buffer {
  if (lastZeros.length !== length) lastZeros = Buffer.alloc(length);
  return lastZeros;
}
