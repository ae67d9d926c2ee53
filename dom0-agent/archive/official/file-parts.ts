import { setMaxListeners } from 'node:events';
import { DamagedError } from '../../../shared/errors.ts';
import { BufferPool } from '../parts/buffer-pool.ts';
import { OFFICIAL_MEMORY, type OfficialFormat, type AuthenticPart } from './official-format.ts';
import { DamagedPartError } from '../parts/part-name.ts';
import type { BufferedPart } from './part-reader.ts';
import { prefetch } from '../parts/prefetch.ts';

/** Reads parts into buffers of the pool, until the signal fires. */
export type BufferedParts = (pool: BufferPool, signal: AbortSignal) => AsyncIterable<BufferedPart>;

/** A sequence of parts, file after file, some of which are read ahead. */
export class PartRow implements AsyncDisposable {
  readonly #stop = new AbortController();
  readonly #parts: AsyncGenerator<BufferedPart, void, undefined>;
  #next: BufferedPart | undefined;
  #flaw: { readonly error: unknown } | undefined;

  constructor(parts: BufferedParts, { readAhead }: OfficialFormat, signal: AbortSignal) {
    const stopped = AbortSignal.any([signal, this.#stop.signal]);
    // Every waiting part listens: this is not a leak that Node should warn about.
    setMaxListeners(0, stopped);
    this.#parts = prefetch(parts(new BufferPool(OFFICIAL_MEMORY, stopped), stopped), readAhead);
  }

  /**
   * The next part; undefined at the end. An error of the archive itself is thrown by every call: the reader of a
   * file sees it there, and may go on.
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
    // Reading ahead may be waiting for memory that will not be given back.
    this.#stop.abort();
    await this.#parts.return();
  }
}

/** The parts of one file, which come next in the sequence. */
export class FileParts {
  readonly path: string;
  readonly #row: PartRow;
  readonly #format: OfficialFormat;
  readonly #parts: AsyncGenerator<BufferedPart, void, undefined>;
  /** Parts that the consumer has and has not released. */
  readonly #lent = new Set<BufferedPart>();
  #taken = 0;
  #ended = false;

  constructor(path: string, row: PartRow, format: OfficialFormat) {
    this.path = path;
    this.#row = row;
    this.#format = format;
    this.#parts = this.#lend();
  }

  /** The file's inner tar. While one part is decrypted, the next one is authenticated. */
  innerTar(): AsyncIterable<Buffer> {
    return this.#format.innerTar(prefetch(this.#opened()), this.path);
  }

  /** Ends the reading of the file: releases the parts that the consumer has not released. */
  async leave(): Promise<void> {
    this.#abandon();
    await this.#parts.return();
    this.#abandon();
  }

  /** Skips the parts that the consumer did not read. */
  async passOver(): Promise<void> {
    for (let part = await this.#take(); part !== undefined; part = await this.#take()) {
      part.release();
    }
  }

  async *#opened(): AsyncGenerator<AuthenticPart, void, undefined> {
    for await (const part of this.#parts) {
      yield { name: part.name, plaintext: this.#plaintextOf(part, await open(part)) };
    }
  }

  *#plaintextOf(part: BufferedPart, slices: Iterable<Buffer>): Generator<Buffer, void, undefined> {
    try {
      yield* slices;
    } finally {
      // Also when the consumer stops early: otherwise another part would wait for memory forever.
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

/** Opens a part; a DamagedError becomes a DamagedPartError, which names it. */
async function open(part: BufferedPart): Promise<Iterable<Buffer>> {
  try {
    return await part.open();
  } catch (error) {
    if (!(error instanceof DamagedError)) throw error;
    throw new DamagedPartError(part, error.message, { cause: error });
  }
}
