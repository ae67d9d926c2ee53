import { createHmac } from 'node:crypto';
import { type SeriesKey, chunkKey, digestKey } from './series-key.ts';

/** Bytes of a chunk's id. */
export const ID_LENGTH = 16;
/** Of a chunk in the digest: its number, and its id. */
const ENTRY_LENGTH = 8 + ID_LENGTH;
/** So many entries are given to the digest at a time. */
const ENTRIES = 64;

/**
 * Gives the chunks of one volume their ids, and makes the digest over all of them: HMAC-SHA256 over the number of
 * each data chunk, eight bytes big-endian, and its id, in ascending order.
 */
export class ChunkIds {
  /** Of HMAC-SHA256. */
  readonly key: Uint8Array;
  readonly #digest: ReturnType<typeof createHmac>;
  readonly #entries = Buffer.alloc(ENTRIES * ENTRY_LENGTH);
  /** How many of them the digest has not been given yet. */
  #waiting = 0;
  #chunks = 0;

  /** `domain`: within which equal chunks have equal ids. */
  constructor(key: SeriesKey, domain: string) {
    this.key = chunkKey(key, domain);
    this.#digest = createHmac('sha256', digestKey(key, domain));
  }

  /** How many chunks were added. */
  get chunks(): number {
    return this.#chunks;
  }

  /** The first 16 bytes of HMAC-SHA256 over a whole chunk. */
  idOf(chunk: Buffer): Buffer {
    return createHmac('sha256', this.key).update(chunk).digest().subarray(0, ID_LENGTH);
  }

  /** Adds chunk number `first` of the volume to the digest, and those that follow it: as many as there are `ids`. */
  add(first: number, ids: Buffer): void {
    for (let at = 0; at < ids.length; at += ID_LENGTH) {
      const number = first + at / ID_LENGTH;
      const entry = this.#waiting * ENTRY_LENGTH;
      this.#entries.writeUInt32BE(Math.floor(number / 2 ** 32), entry);
      this.#entries.writeUInt32BE(number % 2 ** 32, entry + 4);
      ids.copy(this.#entries, entry + 8, at, at + ID_LENGTH);
      this.#chunks++;
      if (++this.#waiting === ENTRIES) this.#flush();
    }
  }

  /** The digest in hex. Once, when all chunks were added. */
  digest(): string {
    this.#flush();
    return this.#digest.digest('hex');
  }

  #flush(): void {
    this.#digest.update(this.#entries.subarray(0, this.#waiting * ENTRY_LENGTH));
    this.#waiting = 0;
  }
}
