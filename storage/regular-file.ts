import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { LONGEST_DATA } from '../protocol/limits.ts';
import type { BegunRange, StoredFile } from './directory.ts';
import { StorageFailure, toStorageFailure } from './storage-failure.ts';

/** A file to be read. Only regular files: a pipe or a device could block forever. */
export class RegularFile implements StoredFile {
  readonly path: string;
  readonly size: number;
  readonly #handle: FileHandle;
  readonly #buffer: Buffer | undefined;

  private constructor(path: string, size: number, handle: FileHandle, buffer: Buffer | undefined) {
    this.path = path;
    this.size = size;
    this.#handle = handle;
    this.#buffer = buffer;
  }

  /**
   * @param buffer of LONGEST_DATA bytes, reused for every chunk, which is then valid only until the next one is asked
   *   for; undefined: new memory for each
   * @throws StorageFailure
   */
  static async open(path: string, buffer?: Buffer): Promise<RegularFile> {
    try {
      // Does not wait for the writer of a named pipe.
      const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
      const stats = await handle.stat();
      if (stats.isFile()) return new RegularFile(path, stats.size, handle, buffer);
      await handle.close();
    } catch (error) {
      throw toStorageFailure(error);
    }
    throw new StorageFailure('NOT_A_FILE', `${path} is not a regular file`);
  }

  /** Nothing is under way before it is read. */
  range(from: number, to: number): BegunRange {
    return { read: () => this.read(from, to), [Symbol.asyncDispose]: () => Promise.resolve() };
  }

  async *read(from = 0, to = this.size): AsyncGenerator<Buffer, void> {
    const end = Math.min(to, this.size);
    for (let at = from; at < end;) {
      const bytes = await this.#readAt(at, Math.min(end - at, LONGEST_DATA));
      at += bytes.length;
      yield bytes;
    }
  }

  async #readAt(offset: number, length: number): Promise<Buffer> {
    const buffer = this.#buffer?.subarray(0, length) ?? Buffer.allocUnsafeSlow(length);
    try {
      const { bytesRead } = await this.#handle.read(buffer, 0, length, offset);
      if (bytesRead > 0) return buffer.subarray(0, bytesRead);
    } catch (error) {
      throw toStorageFailure(error);
    }
    throw new StorageFailure('IO', `${this.path} became shorter while it was read`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }
}
