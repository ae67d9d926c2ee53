import { isZero } from '../../../shared/sparse-data.ts';
import type { BufferPool } from '../parts/buffer-pool.ts';
import type { FilledBuffer } from '../parts/cut-into-buffers.ts';
import { ID_LENGTH } from './chunk-ids.ts';
import { type Cut, PART_TEXT_LENGTH } from './coffer1-header.ts';
import type { IdThreads } from './id-threads.ts';
import type { PartPlace } from './known-chunks.ts';
import { mapAhead } from './map-ahead.ts';
import { type ChunkRun, type PartText, formatPartText } from './part-text.ts';
import type { Step } from './volume-steps.ts';
import type { WrittenVolume } from './written-volume.ts';

/** A part before it is compressed, in a buffer that must be returned to the pool. */
export interface PlainPart extends FilledBuffer {
  readonly place: PartPlace;
  /** Also at the beginning of `bytes`, before the chunks. */
  readonly text: PartText;
  /** The ids of its chunks, in order. */
  readonly ids: readonly Buffer[];
}

/** How many buffers there are for each thread: while the ids of one are computed, the next one is read. */
export const AHEAD = 2;

/** How full a part must be, as a share, so that it may end before it is full, and how large the gap in the volume. */
const SMALL_PART = 1 / 4;
const LARGE_GAP = 1 / 2;

/** How parts are made. */
export interface PartsOptions {
  readonly cut: Cut;
  /** Must have room for two parts, and for `AHEAD` more for each thread. */
  readonly pool: BufferPool;
  readonly threads: IdThreads;
  /** Returns the place of the next part. */
  readonly nextPlace: () => PartPlace;
  /**
   * Whether a volume without new chunks gets a part nevertheless, so that the reader of a stream learns of the volume
   * when it would expect its data.
   */
  readonly announces: boolean;
}

/** Parts with those chunks of a volume that are not all zeros, and in no earlier file. */
export async function* partsOfVolume(
  volume: WrittenVolume,
  { cut, pool, threads, nextPlace, announces }: PartsOptions,
): AsyncGenerator<PlainPart, void, undefined> {
  const zeros = zerosOf(cut.grain);
  const numbering = new Numbering(nextPlace);
  let part: UnfinishedPart | undefined;
  const { read, size } = volume.content;
  const steps = mapAhead(
    portions(volume.steps(), cut),
    AHEAD * threads.atOnce,
    async (step): Promise<ReadChunks | KeptChunks | undefined> => {
      if (step.kind === 'keep') return { ...step, kind: 'keep' };
      const { first, count } = step;
      const buffer = await pool.take(bufferSize(cut));
      const target = buffer.subarray(PART_TEXT_LENGTH, PART_TEXT_LENGTH + count * cut.grain);
      const length = Math.min(target.length, size - first * cut.grain);
      await read(target.subarray(0, length), first * cut.grain);
      target.fill(0, length);
      if (isZero(target)) {
        pool.give(buffer);
        return undefined;
      }
      const chunks = { buffer, start: PART_TEXT_LENGTH, count, grain: cut.grain };
      return { kind: 'read', first, count, ...(await threads.idsOf(volume.idKey, chunks)) };
    },
  );
  for await (const step of steps) {
    if (step === undefined) continue;
    if (step.kind === 'keep') {
      volume.keep(step);
      continue;
    }
    const { first, count, buffer, ids } = step;
    for (let i = 0; i < count; i++) {
      const chunk = chunkIn(buffer, i, cut.grain);
      if (chunk.equals(zeros)) continue;
      const id = ids.subarray(i * ID_LENGTH, (i + 1) * ID_LENGTH);
      if (volume.refer(first + i, id)) continue;
      // A part that has taken over this buffer keeps it to the end.
      if (part !== undefined && part.buffer !== buffer && part.endsBefore(first + i)) {
        yield part.finish(false);
        part = undefined;
      }
      // The part takes over this buffer: then most of its chunks need not be copied.
      part ??= new UnfinishedPart(buffer, cut.grain, volume, numbering.next());
      part.add(first + i, id, chunk);
    }
    if (part?.buffer !== buffer) pool.give(buffer);
  }
  if (part === undefined && announces) {
    const buffer = await pool.take(bufferSize(cut));
    part = new UnfinishedPart(buffer, cut.grain, volume, numbering.next());
  }
  if (part !== undefined) yield part.finish(true);
}

/** Where a part goes, and its number among the parts of its volume in that file. */
interface NumberedPlace extends PartPlace {
  readonly index: number;
}

/** Numbers the parts of one volume, from 0 in each file. */
class Numbering {
  readonly #nextPlace: () => PartPlace;
  #former: NumberedPlace | undefined;

  constructor(nextPlace: () => PartPlace) {
    this.#nextPlace = nextPlace;
  }

  next(): NumberedPlace {
    const place = this.#nextPlace();
    const former = this.#former?.backupId === place.backupId ? this.#former.index : -1;
    this.#former = { ...place, index: former + 1 };
    return this.#former;
  }
}

/** Chunks that were read, at the positions in a buffer where a part has its chunks. */
interface ReadChunks extends ChunkRun {
  readonly kind: 'read';
  readonly buffer: Buffer;
  /** The ids of all of them, one after the other. */
  readonly ids: Buffer;
}

interface KeptChunks extends ChunkRun {
  readonly kind: 'keep';
}

/** How many chunks are kept in one step. */
const MOST_KEPT = 2 ** 16;

/**
 * The same steps, changed so that none reads more than fits into a part, and adjacent chunks that are kept are one step
 * even if they are in different parts.
 */
function* portions(
  steps: Iterable<Step>,
  { grain, partSize }: Cut,
): Generator<Step, void, undefined> {
  let kept: Step | undefined;
  for (const step of steps) {
    if (kept !== undefined && continues(kept, step)) {
      kept = { ...kept, count: kept.count + step.count };
      continue;
    }
    if (kept !== undefined) yield kept;
    kept = step.kind === 'keep' ? step : undefined;
    if (step.kind === 'keep') continue;
    const most = partSize / grain;
    for (let done = 0; done < step.count; done += most) {
      yield { ...step, first: step.first + done, count: Math.min(step.count - done, most) };
    }
  }
  if (kept !== undefined) yield kept;
}

function continues(kept: Step, next: Step): boolean {
  const isNext = next.kind === 'keep' && next.first === kept.first + kept.count;
  return isNext && kept.count + next.count <= MOST_KEPT;
}

/** A part that is being filled. */
class UnfinishedPart {
  readonly buffer: Buffer;
  readonly #grain: number;
  readonly #volume: WrittenVolume;
  readonly #place: NumberedPlace;
  readonly #runs: { first: number; count: number }[] = [];
  readonly #ids: Buffer[] = [];

  constructor(buffer: Buffer, grain: number, volume: WrittenVolume, place: NumberedPlace) {
    this.buffer = buffer;
    this.#grain = grain;
    this.#volume = volume;
    this.#place = place;
  }

  /**
   * Whether the chunk `number` belongs into another part: there is no room for it, or it is far from the others in a
   * volume of which only what has changed is stored. What was written to the same place is mostly replaced at the same
   * time, and then nobody needs to read the part any more.
   */
  endsBefore(number: number): boolean {
    const most = Math.floor((this.buffer.length - PART_TEXT_LENGTH) / this.#grain);
    const chunks = this.#ids.length;
    if (chunks === most || this.#volume.lastMap === undefined) return chunks === most;
    const last = this.#runs.at(-1);
    const gap = last === undefined ? 0 : number - (last.first + last.count);
    return chunks >= most * SMALL_PART && gap >= most * LARGE_GAP;
  }

  /** @param chunk may be in the part's own buffer, at the position that it gets or after it */
  add(number: number, id: Buffer, chunk: Buffer): void {
    const offset = this.#ids.length;
    this.#volume.store(number, id, this.#place, offset);
    this.#ids.push(id);
    const place = chunkIn(this.buffer, offset, this.#grain);
    if (place.buffer !== chunk.buffer || place.byteOffset !== chunk.byteOffset) chunk.copy(place);
    const last = this.#runs.at(-1);
    if (last !== undefined && last.first + last.count === number) last.count++;
    else this.#runs.push({ first: number, count: 1 });
  }

  finish(last: boolean): PlainPart {
    const { path, size, domain } = this.#volume.content;
    const { index, ...place } = this.#place;
    const text = { path, size, domain, index, last, runs: this.#runs };
    formatPartText(text).copy(this.buffer);
    const bytes = this.buffer.subarray(0, PART_TEXT_LENGTH + this.#ids.length * this.#grain);
    return { place, text, ids: this.#ids, bytes, buffer: this.buffer };
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
