import type { Readable } from 'node:stream';

/** Reads a stream to its end, whatever its length, and keeps only the last bytes. */
export class StderrTail {
  /** Resolves when there is no more to come. Never rejects. */
  readonly ended: Promise<void>;
  #kept = Buffer.alloc(0);

  constructor(stream: Readable, longest: number) {
    // Text, when another reader of the stream has set its encoding.
    stream.on('data', (chunk: Buffer | string) => {
      this.#kept = Buffer.concat([this.#kept, Buffer.from(chunk)]).subarray(-longest);
    });
    // A stream that breaks off simply ends here.
    stream.on('error', () => undefined);
    this.ended = new Promise((resolve) => stream.once('close', () => resolve()));
  }

  get text(): string {
    return this.#kept.toString('utf8').trim();
  }
}
