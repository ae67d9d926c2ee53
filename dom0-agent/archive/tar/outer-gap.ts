import { DamagedError } from '../../../shared/errors.ts';
import { KiB } from '../../../shared/sizes.ts';
import { isZero } from '../../../shared/sparse-data.ts';
import { END_OF_TAR } from '../../../shared/tar-block.ts';

/** `tar` pads its last record with zero blocks, up to 10 KiB by default; more than this is an attack. */
const MOST_ZEROS = 64 * KiB;
/** More than enough for padding, a pax header and a member's own header. */
const MOST_BESIDE_ZEROS = 16 * KiB;

/**
 * The bytes between the data of two members: padding, zero blocks and headers. tar-stream does not expose
 * them, so its input is observed here; the data of members is not kept.
 */
export class Gap {
  /** Where the last member's data ends, or reading began: an offset in the archive. */
  #from: number;
  /** Where the observed bytes end. */
  #seen: number;
  /** The observed bytes from `#from` on. */
  #chunks: Buffer[] = [];

  constructor(from: number) {
    this.#from = from;
    this.#seen = from;
  }

  /** Observes the next bytes of the archive. Throws DamagedError when too many bytes have belonged to no member. */
  see(chunk: Buffer): void {
    if (this.#seen - this.#from > MOST_ZEROS + MOST_BESIDE_ZEROS) {
      throw new DamagedError('the backup continues with something that is not a tar member');
    }
    const passed = Math.min(Math.max(this.#from - this.#seen, 0), chunk.length);
    this.#seen += chunk.length;
    if (passed < chunk.length) this.#chunks.push(chunk.subarray(passed));
  }

  /** The gap before a member's data, which is from `dataFrom` to `dataTo`. */
  take(dataFrom: number, dataTo: number): Buffer {
    const untrustedGap = Buffer.concat(this.#shift(dataFrom - this.#from));
    this.#shift(dataTo - dataFrom);
    this.#from = dataTo;
    return untrustedGap;
  }

  /** What was observed after the last member. */
  rest(): Buffer {
    return this.take(this.#seen, this.#seen);
  }

  /** Whether the gap, as far as it was observed, begins with `padding` and then the end of a tar. */
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
