import { setMaxListeners } from 'node:events';
import { DamagedError } from '../../../shared/errors.ts';
import { BufferPool } from './buffer-pool.ts';
import type { OpenedPart, PartFormat } from './part-format.ts';
import { DamagedPartError } from './part-name.ts';
import type { BufferedPart } from './part-reader.ts';
import { prefetch } from './prefetch.ts';

/** Makes parts that lie in memory of the pool, until the signal. */
export type BufferedParts = (pool: BufferPool, signal: AbortSignal) => AsyncIterable<BufferedPart>;

/** Parts in a row, file after file, of which a few are read ahead. */
export class PartRow implements AsyncDisposable {
  readonly #stop = new AbortController();
  readonly #parts: AsyncGenerator<BufferedPart, void, undefined>;
  #next: BufferedPart | undefined;
  #flaw: { readonly error: unknown } | undefined;

  constructor(parts: BufferedParts, { memory, readAhead }: PartFormat, signal: AbortSignal) {
    const stopped = AbortSignal.any([signal, this.#stop.signal]);
    // Every part that waits for its turn listens: no leak that Node should warn of.
    setMaxListeners(0, stopped);
    this.#parts = prefetch(parts(new BufferPool(memory, stopped), stopped), readAhead);
  }

  /**
   * The part that comes next; undefined at the end. What is wrong with the archive itself is thrown each time: whoever
   * reads a file learns of it there, and may go on.
   */
  async peek(): Promise<BufferedPart | undefined> {
    if (this.#flaw !== undefined) throw this.#flaw.error;
    try {
      this.#next ??= (await this.#parts.next()).value ?? undefined;
      return this.#next;
    } catch (error) {
      this.#flaw = { error };
      throw error;
    }
  }

  async take(): Promise<BufferedPart | undefined> {
    const part = await this.peek();
    this.#next = undefined;
    return part;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The reading ahead may be waiting for memory that nobody gives back.
    this.#stop.abort();
    await this.#parts.return();
  }
}

/** The parts of one file within a row, in which it comes next. */
export class FileParts {
  readonly path: string;
  readonly #row: PartRow;
  readonly #format: PartFormat;
  readonly #parts: AsyncGenerator<BufferedPart, void, undefined>;
  /** Parts that the consumer has and did not release. */
  readonly #lent = new Set<BufferedPart>();
  #taken = 0;
  #ended = false;

  constructor(path: string, row: PartRow, format: PartFormat) {
    this.path = path;
    this.#row = row;
    this.#format = format;
    this.#parts = this.#lend();
  }

  /** How many parts of it have come. */
  get taken(): number {
    return this.#taken;
  }

  /** The file's inner tar. While one part is decrypted, the next one is authenticated. */
  innerTar(): AsyncIterable<Buffer> {
    return this.#format.innerTar(prefetch(this.#opened()), this.path);
  }

  /** Takes back what the consumer has left. */
  async leave(): Promise<void> {
    this.#abandon();
    await this.#parts.return();
    this.#abandon();
  }

  /** Passes over what the consumer has left. */
  async passOver(): Promise<void> {
    for (let part = await this.#take(); part !== undefined; part = await this.#take()) {
      part.release();
    }
  }

  async *#opened(): AsyncGenerator<OpenedPart, void, undefined> {
    for await (const part of this.#parts) {
      yield { name: part.name, plaintext: this.#plaintextOf(part, await open(part)) };
    }
  }

  *#plaintextOf(part: BufferedPart, slices: Iterable<Buffer>): Generator<Buffer, void, undefined> {
    try {
      yield* slices;
    } finally {
      // A consumer that leaves, too: else the reading of another part would wait for memory for ever.
      if (this.#lent.delete(part)) part.release();
    }
  }

  async *#lend(): AsyncGenerator<BufferedPart, void, undefined> {
    for (let part = await this.#take(); part !== undefined; part = await this.#take()) {
      this.#lent.add(part);
      yield part;
    }
  }

  async #take(): Promise<BufferedPart | undefined> {
    if (this.#ended) return undefined;
    const part = await this.#row.take();
    if (part?.path !== this.path) {
      throw new DamagedError(
        `part ${this.#taken} of ${this.path} is not where it should be in the backup`,
      );
    }
    this.#taken += 1;
    this.#ended = part.isLast;
    return part;
  }

  #abandon(): void {
    for (const part of this.#lent) part.abandon();
    this.#lent.clear();
  }
}

/** Whatever it is that a part is refused for when it is opened, the part is known that is damaged. */
async function open(part: BufferedPart): Promise<Iterable<Buffer>> {
  try {
    return await part.open();
  } catch (error) {
    if (!(error instanceof DamagedError)) throw error;
    throw new DamagedPartError(part, error.message, { cause: error });
  }
}
