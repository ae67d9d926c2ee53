import { isDeepStrictEqual } from 'node:util';
import { DamagedError } from '../../../shared/errors.ts';
import { KiB } from '../../../shared/sizes.ts';
import { type DataPiece, isZero } from '../../../shared/sparse-data.ts';
import type { PartText } from './part-text.ts';
import { Runs } from './runs.ts';
import { ChunkIds } from './chunk-ids.ts';
import type { SeriesKey } from './series-key.ts';
import type { VolumeMap } from './volume-map.ts';

/** The size of holes is a multiple of this, in bytes: the block size of most file systems. */
const BLOCK = 4 * KiB;

/** Turns the chunks of a volume into pieces, and checks them against its map. */
export class VolumeCheck {
  readonly path: string;
  readonly size: number;
  readonly #grain: number;
  readonly #ids: ChunkIds;
  /** Where the chunks came from; only for a stream. */
  readonly #runs = new Runs();
  /** The digest of all chunks, once they have been read. */
  #digest: string | undefined;

  constructor(
    key: SeriesKey,
    { path, size, domain }: Pick<VolumeMap, 'path' | 'size' | 'domain'>,
    grain: number,
  ) {
    this.path = path;
    this.size = size;
    this.#grain = grain;
    this.#ids = new ChunkIds(key, domain);
  }

  /** Notes the next part of a stream, which the map must name, too. */
  notePart(part: number, { runs }: PartText): void {
    let offset = 0;
    for (const { first, count } of runs) {
      this.#runs.add({ first, count, backup: 0, part, offset });
      offset += count;
    }
  }

  /** The data in chunk `number`, without blocks of zeros, which become holes. */
  *pieces(number: number, chunk: Buffer): Generator<DataPiece, void, undefined> {
    this.#ids.add(number, this.#ids.idOf(chunk));
    const start = number * this.#grain;
    // The last chunk is padded.
    const length = Math.min(chunk.length, this.size - start);
    let from = 0;
    for (let at = 0; at < length; at += BLOCK) {
      if (!isZero(chunk.subarray(at, at + BLOCK))) continue;
      if (at > from) yield { offset: start + from, bytes: chunk.subarray(from, at) };
      from = at + BLOCK;
    }
    if (length > from) yield { offset: start + from, bytes: chunk.subarray(from, length) };
  }

  /** To be called when all chunks have been read. */
  end(): void {
    this.#digest = this.#ids.digest();
  }

  /** Whether all chunks have been read. */
  get ended(): boolean {
    return this.#digest !== undefined;
  }

  /** Throws DamagedError if what was read does not match the map. */
  compare(map: VolumeMap): void {
    const isSameContent =
      this.#digest === map.digest && this.#ids.chunks === map.chunks && this.size === map.size;
    if (isSameContent && (this.#runs.length === 0 || isSame(this.#runs, map.runs))) return;
    throw new DamagedError(`${this.path} in the backup does not match its map`);
  }
}

function isSame(one: Runs, other: Runs): boolean {
  if (one.length !== other.length) return false;
  const others = other[Symbol.iterator]();
  for (const run of one) if (!isDeepStrictEqual(run, others.next().value)) return false;
  return true;
}
