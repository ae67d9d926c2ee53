import type { ByteSink, ByteSource } from '../../shared/byte-streams.ts';

/** An archive in memory, given in pieces of `chunk` bytes. */
export function inputOf(bytes: Buffer, seekable: boolean, chunk = 64 * 1024): ByteSource {
  return {
    size: seekable ? bytes.length : undefined,
    seekable,
    // The pieces arrive asynchronously, as from a real source.
    async *read(from = 0, to = bytes.length) {
      for (let at = from; at < to; at += chunk) {
        yield await Promise.resolve(bytes.subarray(at, Math.min(at + chunk, to)));
      }
    },
  };
}

/** Collects what is written. */
export class MemoryOutput implements ByteSink {
  readonly #chunks: Buffer[] = [];

  write(bytes: Buffer): Promise<void> {
    this.#chunks.push(Buffer.from(bytes));
    return Promise.resolve();
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }
}
