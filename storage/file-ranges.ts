import type { ByteSink } from '../shared/byte-streams.ts';
import { LONGEST_DATA } from '../protocol/limits.ts';
import type { Directory, StoredFile } from './directory.ts';
import { StorageFailure } from './storage-failure.ts';

/**
 * Copies ranges of the files in a directory into a new one, by reading and writing: Node has no copy_file_range(2), and
 * the ranges begin at multiples of 512 bytes, where no file system could share their blocks.
 */
export class FileRanges implements AsyncDisposable {
  readonly #directory: Directory;
  readonly #buffer = Buffer.allocUnsafeSlow(LONGEST_DATA);
  /** Kept open, since most ranges are of the same file as the one before. */
  #last: { readonly name: string; readonly file: StoredFile } | undefined;

  constructor(directory: Directory) {
    this.#directory = directory;
  }

  /** Appends a range of a file to `target`. Throws StorageFailure if the file is missing or too short. */
  async copy(name: string, offset: number, length: number, target: ByteSink): Promise<void> {
    const file = await this.#open(name);
    if (offset + length > file.size) {
      throw new StorageFailure('IO', `${name} is too short for the range that was requested`);
    }
    await using range = file.range(offset, offset + length);
    for await (const bytes of range.read()) await target.write(bytes);
  }

  async #open(name: string): Promise<StoredFile> {
    if (this.#last?.name === name) return this.#last.file;
    await this[Symbol.asyncDispose]();
    const file = await this.#directory.open(name, this.#buffer);
    this.#last = { name, file };
    return file;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const last = this.#last;
    this.#last = undefined;
    await last?.file[Symbol.asyncDispose]();
  }
}
