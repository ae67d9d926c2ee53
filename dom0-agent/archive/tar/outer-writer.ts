import { pack } from 'tar-stream';
import type { ByteSink } from '../../../shared/byte-streams.ts';
import { BLOCK, END_OF_TAR, paddingOf } from '../../../shared/tar-block.ts';
import { LONGEST_NAME, writtenHeader } from './header-block.ts';

/**
 * Writes the outer tar, member by member, with tar-stream's `pack`. Each call resolves when the output has
 * taken the bytes.
 */
export class OuterTarWriter {
  readonly #pack = pack();
  readonly #chunks = (this.#pack as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  readonly #output: ByteSink;

  constructor(output: ByteSink) {
    this.#output = output;
  }

  async member(name: string, bytes: Buffer): Promise<void> {
    await this.memberOf(name, bytes.length, [bytes]);
  }

  /** A member of `size` bytes that comes in pieces: each is requested when the previous one has been written. */
  async memberOf(name: string, size: number, pieces: Iterable<Buffer>): Promise<void> {
    if (name.length > LONGEST_NAME)
      throw new RangeError(`the name ${name} is too long for the outer tar`);
    const entry = this.#pack.entry(writtenHeader(name, size));
    await this.#pass(BLOCK);
    let written = 0;
    for (const piece of pieces) {
      entry.write(piece);
      await this.#pass(piece.length);
      written += piece.length;
    }
    if (written !== size) throw new RangeError(`${name} has ${written} bytes and not ${size}`);
    entry.end(null);
    await this.#pass(paddingOf(size));
  }

  async end(): Promise<void> {
    this.#pack.finalize();
    await this.#pass(END_OF_TAR);
  }

  /** Passes on the next `length` bytes of `pack`. */
  async #pass(length: number): Promise<void> {
    for (let left = length; left > 0;) {
      const next = await this.#chunks.next();
      if (next.done === true) throw new RangeError('the outer tar has already ended');
      left -= next.value.length;
      await this.#output.write(next.value);
    }
  }
}
