import { setMaxListeners } from 'node:events';
import { untilEachAborted } from '../../protocol/timeout.ts';
import type { FileRange, OpenedFile } from '../../shared/byte-streams.ts';
import type { Directory, StoredFile } from '../../storage/directory.ts';
import { type NamedDirectory, openDirectory } from '../../storage/open-directory.ts';
import { type NamedPlace, fileIn, locationIn, placeOf } from './location.ts';
import { toUserError } from './storage-errors.ts';
import type { StoredFiles } from './storage.ts';

/** Reads files of a directory in dom0. */
export class Dom0Files implements StoredFiles {
  readonly location: string;
  readonly #directory: Directory;
  readonly #signal: AbortSignal;
  readonly #files = new Map<string, Dom0File>();

  private constructor(directory: Directory, signal: AbortSignal) {
    this.#directory = directory;
    // Many reads listen to this at the same time: Node would warn of a leak.
    this.#signal = AbortSignal.any([signal]);
    setMaxListeners(0, this.#signal);
    this.location = locationIn('dom0', directory.path);
  }

  /** Errors name `place`. */
  static async open(
    named: NamedDirectory,
    place: NamedPlace,
    signal: AbortSignal,
  ): Promise<Dom0Files> {
    try {
      signal.throwIfAborted();
      const directory = openDirectory(process.cwd(), named, signal);
      await directory.requireThere();
      return new Dom0Files(directory, signal);
    } catch (error) {
      throw toUserError(error, place, false);
    }
  }

  async open(untrustedName: string): Promise<OpenedFile> {
    const known = this.#files.get(untrustedName);
    if (known !== undefined) return known;
    const place = placeOf('dom0', { file: fileIn(this.#directory.path, untrustedName) });
    try {
      const opened = await this.#directory.open(untrustedName);
      const file = new Dom0File(opened, place, this.#signal);
      this.#files.set(untrustedName, file);
      return file;
    } catch (error) {
      throw toUserError(error, place, false);
    }
  }

  async *read(ranges: Iterable<FileRange>): AsyncGenerator<Buffer, void, undefined> {
    for (const { file, from, to } of ranges) yield* file.read(from, to);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const file of this.#files.values()) await file[Symbol.asyncDispose]();
  }
}

class Dom0File implements OpenedFile {
  readonly seekable = true;
  readonly size: number;
  readonly #file: StoredFile;
  readonly #place: NamedPlace;
  readonly #signal: AbortSignal;

  constructor(file: StoredFile, place: NamedPlace, signal: AbortSignal) {
    this.#file = file;
    this.size = file.size;
    this.#place = place;
    this.#signal = signal;
  }

  async *read(from = 0, to = Infinity): AsyncGenerator<Buffer, void, undefined> {
    const end = Math.min(to, this.size);
    if (from >= end) return;
    try {
      await using range = this.#file.range(from, end);
      yield* untilEachAborted(range.read(), this.#signal);
    } catch (error) {
      throw toUserError(error, this.#place, true);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file[Symbol.asyncDispose]();
  }
}
