import type { ArchiveOutput } from '../archive.ts';
import { BLOCK, encodeBlockHeader, paddingOf } from './block.ts';

/** What ends a tar: two blocks of zeros. */
export const END_OF_TAR = Buffer.alloc(2 * BLOCK);

/** Writes the outer tar, member by member. Each call resolves when the output has taken the bytes. */
export class OuterTarWriter {
  readonly #output: ArchiveOutput;

  constructor(output: ArchiveOutput) {
    this.#output = output;
  }

  async member(name: string, bytes: Buffer): Promise<void> {
    await this.memberOf(name, bytes.length, [bytes]);
  }

  /** A member that comes in pieces, of `size` bytes in all: each is asked for when the former is taken. */
  async memberOf(name: string, size: number, pieces: Iterable<Buffer>): Promise<void> {
    await this.#output.write(encodeBlockHeader(name, size));
    let written = 0;
    for (const piece of pieces) {
      await this.#output.write(piece);
      written += piece.length;
    }
    if (written !== size) throw new RangeError(`${name} has ${written} bytes and not ${size}`);
    const padding = paddingOf(size);
    if (padding > 0) await this.#output.write(END_OF_TAR.subarray(0, padding));
  }

  async end(): Promise<void> {
    await this.#output.write(END_OF_TAR);
  }
}
