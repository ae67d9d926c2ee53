import { untilEachAborted } from '../../protocol/timeout.ts';
import type { LocalSource } from '../../storage/local-streams.ts';
import { RegularFile } from '../../storage/regular-file.ts';
import { CommandSource } from '../../storage/shell-command.ts';
import { toUserError } from './storage-errors.ts';
import { resolvePath } from '../../storage/resolve-path.ts';
import { locationIn, placeOf } from './location.ts';
import type { Place } from './location.ts';
import type { FetchSource, Source } from './storage.ts';

/** Reads an archive from a file in dom0, or from a command that runs in dom0. */
export class Dom0Source implements Source {
  readonly location: string;
  readonly size: number | undefined;
  readonly seekable: boolean;
  readonly #place: Place;
  readonly #source: LocalSource;
  readonly #signal: AbortSignal;

  private constructor(place: Place, source: LocalSource, signal: AbortSignal) {
    this.#place = place;
    this.#source = source;
    this.#signal = signal;
    this.location = locationIn(place.owner, source.path);
    this.size = source.size;
    this.seekable = source.seekable;
  }

  static async open(wanted: FetchSource, signal: AbortSignal): Promise<Dom0Source> {
    const place = placeOf('dom0', wanted);
    try {
      signal.throwIfAborted();
      return new Dom0Source(place, await openSource(wanted), signal);
    } catch (error) {
      throw toUserError(error, place, false);
    }
  }

  async *read(from?: number, to?: number): AsyncGenerator<Buffer, void> {
    try {
      yield* untilEachAborted(this.#source.read(from, to), this.#signal);
    } catch (error) {
      throw toUserError(error, this.#place, true);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#source[Symbol.asyncDispose]();
  }
}

async function openSource(wanted: FetchSource): Promise<LocalSource> {
  if ('command' in wanted) return new CommandSource(wanted.command);
  return RegularFile.open(resolvePath(process.cwd(), wanted.file));
}
