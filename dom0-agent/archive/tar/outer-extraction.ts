import { type Extract, type Header, extract } from 'tar-stream';
import type { ByteSource } from '../../../shared/byte-streams.ts';
import { DamagedError } from '../../../shared/errors.ts';
import { BLOCK, END_OF_TAR, paddingOf } from '../../../shared/tar-block.ts';
import { writeChunk } from '../write-chunk.ts';
import { Gap } from './outer-gap.ts';

/** A member as it comes from tar-stream, unchecked. */
export interface UntrustedEntry {
  readonly untrustedHeader: Header;
  /** All bytes between the previous member, or the beginning, and this member's data. */
  readonly untrustedGap: Buffer;
  /** How many bytes of the gap are the padding of the previous member. */
  readonly padding: number;
  /** Where the member's data ends in the archive. */
  readonly dataEnd: number;
  /** The next bytes of the data; undefined at its end. Throws DamagedError. */
  readonly nextChunk: () => Promise<Buffer | undefined>;
}

/** What `extract` yields for a member. */
type Source = Extract extends AsyncIterable<infer S> ? S : never;

/**
 * One run of tar-stream's `extract` over an archive, from the end of a member's data, or from the beginning. An
 * entry must be read to its end before the next one is requested.
 */
export class Extraction implements AsyncDisposable {
  /** Whether two blocks of zeros are the end, whatever follows. */
  stopsAtEnd = false;
  readonly #extract: Extract = extract();
  readonly #entries = this.#extract[Symbol.asyncIterator]();
  readonly #source: AsyncIterator<Buffer>;
  readonly #seekable: boolean;
  readonly #gap: Gap;
  /** Where in the archive the data fed to `extract` began. */
  readonly #base: number;
  readonly #feeding: Promise<void>;
  /** Why feeding ended early. */
  #failure: Error | undefined;
  /** The error of the input itself, which says nothing about the tar. */
  #inputFailure: Error | undefined;
  #resolveEnd: () => void = () => undefined;
  /** Resolves at the two blocks of zeros. */
  readonly #tarEnded = new Promise<undefined>((resolve) => {
    this.#resolveEnd = () => resolve(undefined);
  });
  /** Where the current member's data ends. */
  #dataEnd: number;

  /** @param from where a member begins, or where a member's data ends, before its padding */
  constructor(input: ByteSource, from: number, to?: number) {
    this.#gap = new Gap(from);
    this.#dataEnd = from;
    this.#base = from + paddingOf(from);
    this.#seekable = input.seekable;
    this.#source = input.read(from, to)[Symbol.asyncIterator]();
    this.#feeding = this.#feed(paddingOf(from));
  }

  /** The next entry, or undefined at the end. Throws DamagedError, or the input's error. */
  async next(): Promise<UntrustedEntry | undefined> {
    const entry = await this.#nextOrEnd();
    if (entry === undefined) return undefined;
    const { header, offset } = entry;
    const dataFrom = this.#base + offset + BLOCK;
    const padding = this.#padding;
    this.#dataEnd = dataFrom + header.size;
    return {
      untrustedHeader: header,
      untrustedGap: this.#gap.take(dataFrom, this.#dataEnd),
      padding,
      dataEnd: this.#dataEnd,
      nextChunk: this.#chunksOf(entry as AsyncIterable<Buffer>),
    };
  }

  /** Whether two blocks of zeros follow the last member, once `next` has returned undefined. */
  get tarEnded(): boolean {
    return this.#gap.endsTar(this.#padding);
  }

  /** Where those two blocks end in the archive. */
  get tarEnd(): number {
    return this.#dataEnd + this.#padding + END_OF_TAR;
  }

  /** What follows the last member, once `next` has returned undefined. Throws the input's error. */
  async *rest(): AsyncGenerator<Buffer, void, undefined> {
    await this.#feeding;
    if (this.#inputFailure !== undefined) throw this.#inputFailure;
    yield this.#gap.rest();
    for (let next = await this.#read(); next.done !== true; next = await this.#read()) {
      yield next.value;
    }
  }

  /** With a seekable input, its reading has ended when this resolves. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#extract.destroy();
    const returned = this.#source.return?.();
    // A stream may be silent for a long time; its owner ends it.
    if (!this.#seekable) return void Promise.allSettled([returned]);
    await this.#feeding;
    await returned;
  }

  get #padding(): number {
    return paddingOf(this.#dataEnd);
  }

  async #nextOrEnd(): Promise<Source | undefined> {
    try {
      const next = await Promise.race([this.#orFailure(this.#entries.next()), this.#tarEnded]);
      return next?.done === false ? next.value : undefined;
    } catch (error) {
      // What follows the end need not be a tar.
      if (this.stopsAtEnd && this.tarEnded) return undefined;
      throw error;
    }
  }

  #chunksOf(entry: AsyncIterable<Buffer>): UntrustedEntry['nextChunk'] {
    // Never returned: leaving an entry early would end the whole run.
    const chunks = entry[Symbol.asyncIterator]();
    return async () => {
      const next = await this.#orFailure(chunks.next());
      return next.done === true ? undefined : next.value;
    };
  }

  async #feed(padding: number): Promise<void> {
    let skip = padding;
    try {
      for (let next = await this.#read(); next.done !== true; next = await this.#read()) {
        this.#gap.see(next.value);
        const fed = next.value.subarray(skip);
        skip -= next.value.length - fed.length;
        if (fed.length > 0) await writeChunk(this.#extract, fed);
        if (this.stopsAtEnd && this.tarEnded) {
          this.#resolveEnd();
          return;
        }
        if (this.#extract.destroyed) return;
      }
      this.#extract.end(null);
    } catch (error) {
      this.#failure = error instanceof Error ? error : new Error(String(error));
      this.#extract.destroy();
    }
  }

  async #read(): Promise<IteratorResult<Buffer>> {
    try {
      return await this.#source.next();
    } catch (error) {
      this.#inputFailure = error instanceof Error ? error : new Error(String(error));
      throw error;
    }
  }

  async #orFailure<T>(result: Promise<T>): Promise<T> {
    try {
      const value = await result;
      // A run that was destroyed looks like one that reached its end.
      if (this.#failure !== undefined) throw this.#failure;
      return value;
    } catch (cause) {
      if (this.#failure !== undefined) throw this.#failure;
      throw new DamagedError(
        'this is not a backup, or it is damaged or cut short: its tar is broken',
        {
          cause,
        },
      );
    }
  }
}
