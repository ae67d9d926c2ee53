import { setMaxListeners } from 'node:events';
import path from 'node:path';
import { untilEachAborted } from '../../protocol/timeout.ts';
import type { FileRange, OpenedFile } from '../../shared/byte-streams.ts';
import { RegularFile } from '../../storage/regular-file.ts';
import { requireDirectory, requirePlainName, resolvePath } from '../../storage/resolve-path.ts';
import { type NamedPlace, locationIn, placeOf } from './location.ts';
import { toUserError } from './storage-errors.ts';
import type { StoredFiles } from './storage.ts';

/** Reads files of a directory in dom0. */
export class Dom0Files implements StoredFiles {
  readonly location: string;
  readonly #directory: string;
  readonly #signal: AbortSignal;
  readonly #files = new Map<string, Dom0File>();

  private constructor(directory: string, signal: AbortSignal) {
    this.#directory = directory;
    // Many files are read at a time, and each reading waits for this: Node.js would take that for a mistake.
    this.#signal = AbortSignal.any([signal]);
    setMaxListeners(0, this.#signal);
    this.location = locationIn('dom0', directory);
  }

  /** `place`: what errors name. */
  static async open(directory: string, place: NamedPlace, signal: AbortSignal): Promise<Dom0Files> {
    try {
      signal.throwIfAborted();
      const resolved = resolvePath(process.cwd(), directory);
      await requireDirectory(resolved);
      return new Dom0Files(resolved, signal);
    } catch (error) {
      throw toUserError(error, place, false);
    }
  }

  async open(untrustedName: string): Promise<OpenedFile> {
    const known = this.#files.get(untrustedName);
    if (known !== undefined) return known;
    const name = path.join(this.#directory, untrustedName);
    const place = placeOf('dom0', { file: name });
    try {
      requirePlainName(untrustedName);
      const file = new Dom0File(await RegularFile.open(name), place, this.#signal);
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
  readonly #file: RegularFile;
  readonly #place: NamedPlace;
  readonly #signal: AbortSignal;

  constructor(file: RegularFile, place: NamedPlace, signal: AbortSignal) {
    this.#file = file;
    this.size = file.size;
    this.#place = place;
    this.#signal = signal;
  }

  async *read(from?: number, to?: number): AsyncGenerator<Buffer, void, undefined> {
    try {
      yield* untilEachAborted(this.#file.read(from, to), this.#signal);
    } catch (error) {
      throw toUserError(error, this.#place, true);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file[Symbol.asyncDispose]();
  }
}
