import { DamagedError } from '../../../shared/errors.ts';
import { KiB } from '../../../shared/sizes.ts';
import { isZero } from '../../../shared/sparse-data.ts';
import { END_OF_TAR } from '../../../shared/tar-block.ts';

/** `tar` fills its last record with zero blocks, up to 10 KiB by default; more than this is an attack. */
const MOST_ZEROS = 64 * KiB;
/** More than padding, a pax header and a member's own header take. */
const MOST_BESIDE_ZEROS = 16 * KiB;

/**
 * The bytes between the data of two members: padding, zero blocks and headers. tar-stream does not give
 * them, so the bytes on their way into it are observed here; the data of members is not kept.
 */
export class Gap {
  /** Where the last member's data ends, or the reading began: an offset in the archive. */
  #from: number;
  /** Where the bytes end that were seen. */
  #seen: number;
  /** What was seen from `#from` on. */
  #chunks: Buffer[] = [];

  constructor(from: number) {
    this.#from = from;
    this.#seen = from;
  }

  /** The next bytes of the archive. Throws DamagedError when no member has come for too long. */
  see(chunk: Buffer): void {
    if (this.#seen - this.#from > MOST_ZEROS + MOST_BESIDE_ZEROS) {
      throw new DamagedError('the backup continues with something that is not a tar member');
    }
    const passed = Math.min(Math.max(this.#from - this.#seen, 0), chunk.length);
    this.#seen += chunk.length;
    if (passed < chunk.length) this.#chunks.push(chunk.subarray(passed));
  }

  /** The gap before a member's data, which lies from `dataFrom` to `dataTo`. */
  take(dataFrom: number, dataTo: number): Buffer {
    const untrustedGap = Buffer.concat(this.#shift(dataFrom - this.#from));
    this.#shift(dataTo - dataFrom);
    this.#from = dataTo;
    return untrustedGap;
  }

  /** What was seen after the last member. */
  rest(): Buffer {
    return this.take(this.#seen, this.#seen);
  }

  /** Whether the gap, as far as it was seen, begins with `padding` and then the end of a tar. */
  endsTar(padding: number): boolean {
    const length = padding + END_OF_TAR;
    if (this.#seen - this.#from < length) return false;
    return isZero(Buffer.concat(this.#chunks).subarray(0, length));
  }

  /** Takes up to `length` bytes from what was kept. */
  #shift(length: number): Buffer[] {
    const shifted: Buffer[] = [];
    for (let left = length; left > 0;) {
      const chunk = this.#chunks[0];
      if (chunk === undefined) break;
      shifted.push(chunk.subarray(0, left));
      if (chunk.length > left) this.#chunks[0] = chunk.subarray(left);
      else this.#chunks.shift();
      left -= Math.min(left, chunk.length);
    }
    return shifted;
  }
}
