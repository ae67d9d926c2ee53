import type { Readable } from 'node:stream';

/** Takes exact numbers of bytes from a stream, whatever pieces it comes in. */
export class PipeReader {
  readonly #pieces: AsyncIterator<Buffer>;
  #left: Buffer = Buffer.alloc(0);

  constructor(stream: Readable) {
    this.#pieces = (stream as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  }

  /** Fills `buffer`; false when the stream ends before. */
  async fill(buffer: Buffer): Promise<boolean> {
    let filled = 0;
    while (filled < buffer.length) {
      if (this.#left.length === 0) {
        const next = await this.#pieces.next();
        if (next.done === true) return false;
        this.#left = next.value;
      }
      const taken = this.#left.copy(buffer, filled);
      this.#left = this.#left.subarray(taken);
      filled += taken;
    }
    return true;
  }

  /** The next `length` bytes, which the caller bounds; undefined when the stream ends before. */
  async take(length: number): Promise<Buffer | undefined> {
    const buffer = Buffer.alloc(length);
    return (await this.fill(buffer)) ? buffer : undefined;
  }
}
