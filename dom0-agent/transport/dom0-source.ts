import { LONGEST_DATA } from '../../protocol/limits.ts';
import { untilAborted } from '../../protocol/timeout.ts';
import { FailedError } from '../../shared/errors.ts';
import type { ByteSource } from '../../storage/byte-streams.ts';
import { RegularFile } from '../../storage/regular-file.ts';
import { CommandSource } from '../../storage/shell-command.ts';
import { explain } from './storage-errors.ts';
import { locationIn, placeOf, resolvePath } from './location.ts';
import type { Place } from './location.ts';
import type { FetchSource, Source } from './storage.ts';

/** An archive from a file of dom0, or from a command that runs in dom0. */
export class Dom0Source implements Source {
  readonly location: string;
  readonly size: number | undefined;
  readonly seekable: boolean;
  readonly #place: Place;
  readonly #source: ByteSource;
  readonly #signal: AbortSignal;
  #position = 0;

  private constructor(place: Place, source: ByteSource, signal: AbortSignal) {
    this.#place = place;
    this.#source = source;
    this.#signal = signal;
    this.location = locationIn(place.owner, source.path);
    this.size = source.size;
    this.seekable = source.size !== undefined;
  }

  static async open(wanted: FetchSource, signal: AbortSignal): Promise<Dom0Source> {
    const place = placeOf('dom0', wanted);
    try {
      signal.throwIfAborted();
      return new Dom0Source(place, await openSource(wanted), signal);
    } catch (error) {
      throw explain(error, place, false);
    }
  }

  async *read(from = 0, to = Infinity): AsyncGenerator<Buffer, void> {
    this.#goTo(from);
    while (this.#position < to) {
      const bytes = await this.#next(Math.min(LONGEST_DATA, to - this.#position));
      if (bytes === undefined) return;
      this.#position += bytes.length;
      yield bytes;
    }
  }

  #goTo(offset: number): void {
    if (offset === this.#position) return;
    if (!this.seekable) throw new FailedError(`${this.location} can be read only once.`);
    this.#source.seek(offset);
    this.#position = offset;
  }

  async #next(most: number): Promise<Buffer | undefined> {
    try {
      return await untilAborted(this.#source.next(most), this.#signal);
    } catch (error) {
      throw explain(error, this.#place, true);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#source[Symbol.asyncDispose]();
  }
}

async function openSource(wanted: FetchSource): Promise<ByteSource> {
  if ('command' in wanted) return new CommandSource(wanted.command);
  return RegularFile.open(resolvePath(wanted.file));
}
