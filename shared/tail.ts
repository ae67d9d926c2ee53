import type { Readable } from 'node:stream';

/** Reads a stream to its end, whatever its length, and keeps only the last bytes. */
export class Tail {
  #kept = Buffer.alloc(0);

  constructor(stream: Readable, longest: number) {
    stream.on('data', (chunk: Buffer) => {
      this.#kept = Buffer.concat([this.#kept, chunk]).subarray(-longest);
    });
    // A stream that breaks off simply ends here.
    stream.on('error', () => undefined);
  }

  get text(): string {
    return this.#kept.toString('utf8').trim();
  }
}
