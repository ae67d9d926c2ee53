import { createHmac } from 'node:crypto';
import { type SeriesKey, chunkKey, digestKey } from './series-key.ts';

/** Bytes of a chunk's id. */
export const ID_LENGTH = 16;

/**
 * Gives the chunks of one volume their ids, and makes the digest over all of them: HMAC-SHA256 over the number of
 * each data chunk, eight bytes big-endian, and its id, in ascending order.
 */
export class ChunkIds {
  readonly #key: Uint8Array;
  readonly #digest: ReturnType<typeof createHmac>;
  #chunks = 0;

  /** `domain`: within which equal chunks have equal ids. */
  constructor(key: SeriesKey, domain: string) {
    this.#key = chunkKey(key, domain);
    this.#digest = createHmac('sha256', digestKey(key, domain));
  }

  /** How many chunks were added. */
  get chunks(): number {
    return this.#chunks;
  }

  /** The first 16 bytes of HMAC-SHA256 over a whole chunk. */
  idOf(chunk: Buffer): Buffer {
    return createHmac('sha256', this.#key).update(chunk).digest().subarray(0, ID_LENGTH);
  }

  /** Adds chunk number `number` of the volume to the digest. */
  add(number: number, id: Buffer): void {
    const place = Buffer.alloc(8);
    place.writeBigUInt64BE(BigInt(number));
    this.#digest.update(place).update(id);
    this.#chunks++;
  }

  /** The digest in hex. Once, when all chunks were added. */
  digest(): string {
    return this.#digest.digest('hex');
  }
}
