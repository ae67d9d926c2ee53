import type { BufferPool } from '../parts/buffer-pool.ts';
import type { FilledBuffer } from '../parts/cut-into-buffers.ts';
import { type Cut, PART_TEXT_LENGTH } from './coffer1-header.ts';
import { type PartText, formatPartText } from './part-text.ts';
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
  /** Has room for two parts at least. */
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
  let index = 0;
  /** A part that is full, and the last one unless more data is found. */
  let full: PartInWork | undefined;
  const begin = async (): Promise<PartInWork> =>
    new PartInWork(await pool.take(PART_TEXT_LENGTH + cut.partSize), cut.grain, volume, nextPart);
  let part = await begin();
  for (const { kind, first, count } of volume.steps()) {
    if (kind === 'keep') {
      volume.keep({ first, count });
      continue;
    }
    for (let done = 0; done < count;) {
      const read = Math.min(count - done, part.room);
      await part.read(first + done, read);
      done += read;
      if (full !== undefined && part.count > 0) {
        yield full.finish(index++, false);
        full = undefined;
      }
      if (part.room > 0) continue;
      full = part;
      part = await begin();
    }
  }
  const last = full ?? (part.count > 0 || announces ? part : undefined);
  if (last !== part) pool.give(part.buffer);
  if (last !== undefined) yield last.finish(index, true);
}

/** A part that is being filled. */
class PartInWork {
  readonly buffer: Buffer;
  readonly #grain: number;
  readonly #volume: WrittenVolume;
  readonly #nextPart: () => number;
  readonly #zeros: Buffer;
  readonly #runs: { first: number; count: number }[] = [];
  readonly #ids: Buffer[] = [];
  /** Once it has a chunk. */
  #number: number | undefined;

  constructor(buffer: Buffer, grain: number, volume: WrittenVolume, nextPart: () => number) {
    this.buffer = buffer;
    this.#grain = grain;
    this.#volume = volume;
    this.#nextPart = nextPart;
    this.#zeros = zeros(grain);
  }

  /** How many chunks it holds. */
  get count(): number {
    return this.#ids.length;
  }

  /** For how many more chunks there is room. */
  get room(): number {
    return (this.buffer.length - PART_TEXT_LENGTH) / this.#grain - this.count;
  }

  /** Reads chunks of the volume, and keeps those that are not all zeros and not known. */
  async read(first: number, count: number): Promise<void> {
    const { size, read } = this.#volume.content;
    const from = this.count;
    const start = first * this.#grain;
    const length = Math.min(count * this.#grain, size - start);
    const target = this.buffer.subarray(this.#placeOf(from), this.#placeOf(from + count));
    await read(target.subarray(0, length), start);
    target.fill(0, length);
    for (let i = 0; i < count; i++) this.#keep(first + i, this.#chunk(from + i));
  }

  finish(index: number, last: boolean): PlainPart {
    const { path, size, domain } = this.#volume.content;
    const text = { path, size, domain, index, last, runs: this.#runs };
    formatPartText(text).copy(this.buffer);
    const bytes = this.buffer.subarray(0, this.#placeOf(this.count));
    this.#number ??= this.#nextPart();
    return { number: this.#number, text, ids: this.#ids, bytes, buffer: this.buffer };
  }

  #keep(number: number, chunk: Buffer): void {
    if (chunk.equals(this.#zeros)) return;
    const id = this.#volume.idOf(chunk);
    if (this.#volume.refer(number, id)) return;
    const offset = this.count;
    this.#number ??= this.#nextPart();
    this.#volume.store(number, id, this.#number, offset);
    this.#ids.push(id);
    const place = this.#chunk(offset);
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
