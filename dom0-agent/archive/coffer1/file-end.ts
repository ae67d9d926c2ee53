import { ByteReader } from '../../../shared/byte-reader.ts';
import type { ByteSource, OpenedFile } from '../../../shared/byte-streams.ts';
import { KiB } from '../../../shared/sizes.ts';

/** How much is read at once: in most files the manifest, the ids and the table of parts. */
const LENGTH = 64 * KiB;

/** A file whose end is in memory, so that what is there takes one request, not one for each member. */
export class FileEnd implements ByteSource {
  readonly size: number;
  readonly seekable = true;
  readonly #input: OpenedFile;
  /** Where the bytes in memory begin in the file. */
  readonly #from: number;
  readonly #untrustedBytes: Buffer;

  private constructor(input: OpenedFile, from: number, untrustedBytes: Buffer) {
    this.#input = input;
    this.size = input.size;
    this.#from = from;
    this.#untrustedBytes = untrustedBytes;
  }

  static async of(input: OpenedFile): Promise<FileEnd> {
    const from = Math.max(0, input.size - LENGTH);
    await using bytes = new ByteReader(input.read(from, input.size));
    const untrustedBytes = Buffer.allocUnsafe(input.size - from);
    await bytes.fill(untrustedBytes);
    return new FileEnd(input, from, untrustedBytes);
  }

  read(from = 0, to = this.size): AsyncIterable<Buffer> {
    const untrustedBytes = this.#inMemory(from, to);
    return untrustedBytes === undefined ? this.#input.read(from, to) : once(untrustedBytes);
  }

  /** The same file with only this range in memory; undefined if not all of it is. */
  only(from: number, to: number): FileEnd | undefined {
    const untrustedBytes = this.#inMemory(from, to);
    return untrustedBytes && new FileEnd(this.#input, from, Buffer.from(untrustedBytes));
  }

  #inMemory(from: number, to: number): Buffer | undefined {
    const end = this.#from + this.#untrustedBytes.length;
    if (from < this.#from || to > end) return undefined;
    return this.#untrustedBytes.subarray(from - this.#from, to - this.#from);
  }
}

async function* once(bytes: Buffer): AsyncGenerator<Buffer, void, undefined> {
  if (bytes.length > 0) yield await Promise.resolve(bytes);
}
