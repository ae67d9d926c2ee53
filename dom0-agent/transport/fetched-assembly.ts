import type { Space } from '../../shared/space.ts';
import type { Assembly, Sink, StoredArchive, StoredFiles } from './storage.ts';

/** A new file on storage that cannot assemble: the ranges of other files are read, and sent back as part of it. */
export class FetchedAssembly implements Assembly {
  readonly location: string;
  readonly space: Space;
  readonly #sink: Sink;
  readonly #files: StoredFiles;

  /** @param files the directory that the new file is in */
  constructor(sink: Sink, files: StoredFiles) {
    this.location = sink.location;
    this.space = sink.space;
    this.#sink = sink;
    this.#files = files;
  }

  get confirmedBytes(): number {
    return this.#sink.confirmedBytes;
  }

  write(bytes: Buffer): Promise<void> {
    return this.#sink.write(bytes);
  }

  requireOpen(): Promise<void> {
    return this.#sink.requireOpen();
  }

  async copy(fileName: string, offset: number, length: number): Promise<void> {
    const file = await this.#files.open(fileName);
    const range = { file, from: offset, to: offset + length };
    for await (const bytes of this.#files.read([range])) await this.#sink.write(bytes);
  }

  finish(): Promise<StoredArchive> {
    return this.#sink.finish();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sink[Symbol.asyncDispose]();
  }
}
