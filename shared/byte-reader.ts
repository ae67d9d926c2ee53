import { DamagedError } from './errors.ts';

/**
 * Reads exact numbers of bytes from a stream of chunks. The results are views of the source's chunks where possible,
 * and must not be written to.
 *
 * Every method except `ended` throws a DamagedError when the source ends too early. One call at a time. Disposing
 * returns the source's iterator.
 */
export class ByteReader implements AsyncDisposable {
  /** What is being read, for the error: `the backup`, `vm5/private.img`. */
  name: string;
  readonly #source: AsyncIterator<Buffer>;
  #chunk: Buffer = Buffer.alloc(0);
  /** The position of the next byte in `#chunk`. */
  #used = 0;
  #position = 0;
  #disposed = false;

  constructor(source: AsyncIterable<Buffer>, name = 'the backup') {
    this.#source = source[Symbol.asyncIterator]();
    this.name = name;
  }

  /** How many bytes have been read or skipped so far. */
  get position(): number {
    return this.#position;
  }

  /** Whether nothing is left; waits for the source's next chunk to know. */
  async ended(): Promise<boolean> {
    while (this.#used === this.#chunk.length) {
      const next = await this.#source.next();
      if (next.done === true) return true;
      this.#chunk = next.value;
      this.#used = 0;
    }
    return false;
  }

  /** The next bytes, at least one and at most `limit`: as many as have arrived. */
  async atMost(limit: number): Promise<Buffer> {
    if (this.#used === this.#chunk.length && (await this.ended())) {
      throw new DamagedError(`${this.name} ends too early: it is cut short`);
    }
    return this.#take(limit);
  }

  /** The next `length` bytes in one piece. The caller must bound `length`, which is allocated. */
  async exact(length: number): Promise<Buffer> {
    if (length > 0 && this.#used === this.#chunk.length) await this.ended();
    if (length <= this.#chunk.length - this.#used) return this.#take(length);
    const whole = Buffer.allocUnsafe(length);
    await this.fill(whole);
    return whole;
  }

  /** Fills `buffer` with the next bytes. */
  async fill(buffer: Buffer): Promise<void> {
    for (let filled = 0; filled < buffer.length;) {
      const bytes = await this.atMost(buffer.length - filled);
      bytes.copy(buffer, filled);
      filled += bytes.length;
    }
  }

  /** The next `length` bytes as they come. Must be read to its end before any other call. */
  async *chunks(length: number): AsyncGenerator<Buffer, void, undefined> {
    for (let left = length; left > 0;) {
      const bytes = await this.atMost(left);
      left -= bytes.length;
      yield bytes;
    }
  }

  async skip(length: number): Promise<void> {
    for (let left = length; left > 0;) left -= (await this.atMost(left)).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#chunk = Buffer.alloc(0);
    this.#used = 0;
    await this.#source.return?.();
  }

  #take(limit: number): Buffer {
    const end = Math.min(this.#used + limit, this.#chunk.length);
    const bytes = this.#chunk.subarray(this.#used, end);
    this.#position += bytes.length;
    this.#used = end;
    return bytes;
  }
}
