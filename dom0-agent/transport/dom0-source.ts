import { untilEachAborted } from '../../protocol/timeout.ts';
import type { LocalSource } from '../../storage/local-streams.ts';
import { CommandSource } from '../../storage/shell-command.ts';
import { toUserError } from './storage-errors.ts';
import { locationIn, placeOf } from './location.ts';
import type { NamedPlace } from './location.ts';
import type { Source } from './storage.ts';

/** Reads the output of a command in dom0. */
export class Dom0Source implements Source {
  readonly location: string;
  readonly size = undefined;
  readonly seekable = false;
  readonly #place: NamedPlace;
  readonly #source: LocalSource;
  readonly #signal: AbortSignal;

  private constructor(place: NamedPlace, source: LocalSource, signal: AbortSignal) {
    this.#place = place;
    this.#source = source;
    this.#signal = signal;
    this.location = locationIn(place.owner, source.path);
  }

  static open(command: string, signal: AbortSignal): Dom0Source {
    signal.throwIfAborted();
    return new Dom0Source(placeOf('dom0', { command }), new CommandSource({ command }), signal);
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
