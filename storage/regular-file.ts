import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import type { ByteSource } from './byte-streams.ts';
import { StorageProblem, problemOf } from './storage-problem.ts';

/** A file that is read. Only regular ones: a pipe or a device could make us wait for ever. */
export class RegularFile implements ByteSource {
  readonly path: string;
  readonly size: number;
  readonly #handle: FileHandle;
  readonly #room: Buffer | undefined;
  #position = 0;

  private constructor(path: string, size: number, handle: FileHandle, room: Buffer | undefined) {
    this.path = path;
    this.size = size;
    this.#handle = handle;
    this.#room = room;
  }

  /**
   * @param room memory for what is read, which is then good only until the next reading; undefined:
   *   new memory every time
   * @throws StorageProblem
   */
  static async open(path: string, room?: Buffer): Promise<RegularFile> {
    try {
      // Not to wait for the writer of a named pipe.
      const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
      const stats = await handle.stat();
      if (stats.isFile()) return new RegularFile(path, stats.size, handle, room);
      await handle.close();
    } catch (error) {
      throw problemOf(error);
    }
    throw new StorageProblem('NOT_A_FILE', `${path} is not a regular file`);
  }

  async next(most: number): Promise<Buffer | undefined> {
    const wanted = Math.min(most, this.size - this.#position, this.#room?.length ?? most);
    if (wanted === 0) return undefined;
    const buffer = this.#room?.subarray(0, wanted) ?? Buffer.allocUnsafeSlow(wanted);
    const bytesRead = await this.#read(buffer);
    if (bytesRead === 0) throw new StorageProblem('IO', `${this.path} became shorter meanwhile`);
    this.#position += bytesRead;
    return buffer.subarray(0, bytesRead);
  }

  async #read(buffer: Buffer): Promise<number> {
    try {
      return (await this.#handle.read(buffer, 0, buffer.length, this.#position)).bytesRead;
    } catch (error) {
      throw problemOf(error);
    }
  }

  seek(offset: number): void {
    this.#position = offset;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }
}
