import type { FileRange, OpenedDirectory, OpenedFile } from '../../shared/byte-streams.ts';
import { RefusedError } from '../../shared/errors.ts';
import { inputOf } from './memory.ts';

/** A directory in memory that counts reads. */
export class MemoryDirectory implements OpenedDirectory {
  /** How many bytes were read, how many ranges requested, and how often anything was read from one file. */
  bytesRead = 0;
  ranges = 0;
  reads = 0;
  /** How often its names were requested. */
  listed = 0;
  readonly #files: ReadonlyMap<string, Buffer>;
  readonly #opened = new Map<string, OpenedFile>();

  constructor(files: Readonly<Record<string, Buffer>>) {
    this.#files = new Map(Object.entries(files));
  }

  get siblings() {
    return {
      directory: this,
      untrustedNames: () => {
        this.listed++;
        return Promise.resolve([...this.#files.keys()]);
      },
    };
  }

  open(name: string): Promise<OpenedFile> {
    const bytes = this.#files.get(name);
    if (bytes === undefined) return Promise.reject(new RefusedError(`there is no ${name}`));
    const input = inputOf(bytes, true);
    const file = this.#opened.get(name) ?? {
      ...{ size: bytes.length, seekable: true as const },
      read: (from?: number, to?: number) => {
        this.reads++;
        return this.#counted(input.read(from, to));
      },
    };
    this.#opened.set(name, file);
    return Promise.resolve(file);
  }

  async *read(ranges: Iterable<FileRange>): AsyncGenerator<Buffer> {
    for (const { file, from, to } of ranges) {
      this.ranges++;
      yield* file.read(from, to);
    }
  }

  async *#counted(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const piece of pieces) {
      this.bytesRead += piece.length;
      yield piece;
    }
  }
}
