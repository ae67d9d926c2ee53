import type { DamagedError } from '../../../shared/errors.ts';
import { damagedMap } from '../../../shared/old-gnu-sparse.ts';
import { BLOCK } from '../../../shared/tar-block.ts';

/**
 * The most extents that a file may have: 128 MiB of memory here. A volume of 64 GiB of which every
 * second page is a hole has that many.
 */
export const MOST_EXTENTS = 2 ** 23;

/**
 * Where a sparse member has data. Two plain lists, as there can be millions of extents.
 */
export class SparseMap {
  readonly offsets: number[] = [];
  readonly lengths: number[] = [];
  readonly realSize: number;
  /** The sum of the lengths: the bytes that the archive holds. */
  storedSize = 0;
  readonly #where: string;
  #entries = 0;
  #end = 0;

  constructor(untrustedRealSize: number | undefined, where: string) {
    this.#where = where;
    if (untrustedRealSize === undefined) throw this.damaged('has no readable size');
    this.realSize = untrustedRealSize;
  }

  /**
   * Extents ascend without overlapping and lie within the file. All but the last fill whole blocks:
   * tar begins each extent's data with a new block, and takes the sum of the lengths for the size.
   */
  add(untrustedOffset: number | undefined, untrustedLength: number | undefined): void {
    if (untrustedOffset === undefined || untrustedLength === undefined) {
      throw this.damaged('has a number that cannot be read');
    }
    if (untrustedOffset < this.#end || untrustedLength > this.realSize - untrustedOffset) {
      throw this.damaged('names data outside the file, or twice');
    }
    if (++this.#entries > MOST_EXTENTS) throw this.damaged('is too long');
    this.#end = untrustedOffset + untrustedLength;
    if (untrustedLength === 0) return;
    if (this.storedSize % BLOCK !== 0) throw this.damaged('names data between blocks');
    this.offsets.push(untrustedOffset);
    this.lengths.push(untrustedLength);
    this.storedSize += untrustedLength;
  }

  damaged(what: string): DamagedError {
    return damagedMap(this.#where, what);
  }
}
