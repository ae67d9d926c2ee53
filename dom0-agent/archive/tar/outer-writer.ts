import { pack } from 'tar-stream';
import type { ByteSink } from '../../../shared/byte-streams.ts';
import { BLOCK, END_OF_TAR, paddingOf } from '../../../shared/tar-block.ts';
import { LONGEST_NAME, writtenHeader } from './header-block.ts';

/**
 * Writes the outer tar, member by member, as tar-stream's `pack` makes it. Each call resolves when the
 * output has taken the bytes.
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

  /** A member that comes in pieces, of `size` bytes in all: each is asked for when the previous one is written. */
  async memberOf(name: string, size: number, pieces: Iterable<Buffer>): Promise<void> {
    if (name.length > LONGEST_NAME)
      throw new RangeError(`no outer member can have the name ${name}`);
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

  /** Hands on the next `length` bytes that `pack` makes. */
  async #pass(length: number): Promise<void> {
    for (let left = length; left > 0;) {
      const next = await this.#chunks.next();
      if (next.done === true) throw new RangeError('the outer tar has ended already');
      left -= next.value.length;
      await this.#output.write(next.value);
    }
  }
}
