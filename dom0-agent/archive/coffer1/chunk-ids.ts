import { createHmac } from 'node:crypto';
import { noteBuffer } from '../../../shared/buffer-collection.ts';
import { type SeriesKey, chunkKey, digestKey } from './series-key.ts';

/** The length of a chunk's id in bytes. */
export const ID_LENGTH = 16;
/** The length in bytes of a chunk's entry in the digest: its number, and its id. */
const ENTRY_LENGTH = 8 + ID_LENGTH;
/** How many bytes of objects become garbage for each byte of ids, with large runs: buffers, runs, places. */
const GARBAGE = 4;
/** How many entries go into the digest at a time. */
const ENTRIES = 64;

/**
 * Computes the ids of the chunks of one volume, and the digest over all of them: HMAC-SHA256 over the number (eight
 * bytes, big-endian) and the id of each data chunk, in ascending order.
 */
export class ChunkIds {
  /** The key of the HMAC-SHA256 that makes ids. */
  readonly key: Uint8Array;
  readonly #digest: ReturnType<typeof createHmac>;
  readonly #entries = Buffer.alloc(ENTRIES * ENTRY_LENGTH);
  /** How many entries have not gone into the digest yet. */
  #waiting = 0;
  #chunks = 0;

  /** @param domain equal chunks in the same domain have equal ids */
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

  /** Adds the chunks from number `first` on to the digest, as many as there are `ids`. */
  add(first: number, ids: Buffer): void {
    noteBuffer(GARBAGE * ids.length);
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

  /** The digest in hex. To be called once, after all chunks have been added. */
  digest(): string {
    this.#flush();
    return this.#digest.digest('hex');
  }

  #flush(): void {
    this.#digest.update(this.#entries.subarray(0, this.#waiting * ENTRY_LENGTH));
    this.#waiting = 0;
  }
}
