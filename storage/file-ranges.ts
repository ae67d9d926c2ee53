import path from 'node:path';
import type { ByteSink } from '../shared/byte-streams.ts';
import { LONGEST_DATA } from '../protocol/limits.ts';
import { RegularFile } from './regular-file.ts';
import { requirePlainName } from './resolve-path.ts';
import { StorageFailure } from './storage-failure.ts';

/**
 * Ranges of the files in a directory, to be copied into a new one. By reading and writing: Node has no
 * copy_file_range(2), and the ranges begin at multiples of 512 bytes, where no file system could share their blocks.
 */
export class FileRanges implements AsyncDisposable {
  readonly #directory: string;
  readonly #buffer = Buffer.allocUnsafeSlow(LONGEST_DATA);
  /** Ranges of the same file mostly follow each other. */
  #file: RegularFile | undefined;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Appends a range to what is being written. Throws StorageFailure when it is not all there. */
  async copy(name: string, offset: number, length: number, target: ByteSink): Promise<void> {
    requirePlainName(name);
    const file = await this.#open(path.join(this.#directory, name));
    if (offset + length > file.size) {
      throw new StorageFailure('IO', `${file.path} is shorter than was asked of it`);
    }
    for await (const bytes of file.read(offset, offset + length)) await target.write(bytes);
  }

  async #open(file: string): Promise<RegularFile> {
    if (this.#file?.path === file) return this.#file;
    await this[Symbol.asyncDispose]();
    this.#file = await RegularFile.open(file, this.#buffer);
    return this.#file;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.[Symbol.asyncDispose]();
  }
}
