import type { ByteReader } from '../../../shared/byte-reader.ts';
import type { DamagedError } from '../../../shared/errors.ts';
import { damagedMap } from '../../../shared/old-gnu-sparse.ts';
import { BLOCK } from '../../../shared/tar-block.ts';
import { type PaxRecord, decimal } from './pax.ts';

/**
 * The most extents that a file may have: 128 MiB of memory here. A volume of 64 GiB in which every second page
 * is a hole has that many.
 */
export const MOST_EXTENTS = 2 ** 23;

/**
 * Where a sparse member has data. Two plain lists, since there can be millions of extents.
 */
export class SparseMap {
  readonly offsets: number[] = [];
  readonly lengths: number[] = [];
  readonly realSize: number;
  /** The sum of the lengths: the bytes in the archive. */
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
   * Extents ascend without overlapping and are within the file. All but the last fill whole blocks: tar begins
   * each extent's data with a new block, and takes the sum of the lengths as the size.
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

const NEWLINE = 0x0a;
const ZERO_DIGIT = 0x30;

/**
 * The map of a pax sparse 1.0 member, which comes before its data: the number of entries, then offset and
 * length of each, in decimal, one per line, padded to whole blocks.
 */
export async function readPaxMap(
  untrustedRealSize: number | undefined,
  bytes: ByteReader,
  where: string,
): Promise<SparseMap> {
  const map = new SparseMap(untrustedRealSize, where);
  let entriesLeft: number | undefined;
  let offset: number | undefined;
  let value = 0;
  let digits = 0;
  while (entriesLeft !== 0) {
    for (const untrustedByte of await bytes.exact(BLOCK)) {
      if (untrustedByte >= ZERO_DIGIT && untrustedByte < ZERO_DIGIT + 10 && digits < 16) {
        value = value * 10 + untrustedByte - ZERO_DIGIT;
        digits++;
        continue;
      }
      if (untrustedByte !== NEWLINE || digits === 0 || value > Number.MAX_SAFE_INTEGER) {
        throw map.damaged('has a number that cannot be read');
      }
      if (entriesLeft === undefined) {
        entriesLeft = value;
      } else if (offset === undefined) {
        offset = value;
      } else {
        map.add(offset, value);
        offset = undefined;
        entriesLeft--;
      }
      value = 0;
      digits = 0;
      if (entriesLeft === 0) break;
    }
  }
  return map;
}

/** The map of a pax sparse 0.0 or 0.1 member, which is in its pax header. */
export function paxHeaderMap(records: readonly PaxRecord[], where: string): SparseMap {
  const valueOf = (keyword: string) => records.find(([key]) => key === keyword)?.[1];
  const map = new SparseMap(decimal(valueOf('GNU.sparse.size')), where);
  const untrustedNumbers =
    valueOf('GNU.sparse.map')?.split(',') ??
    records
      .filter(([key]) => key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes')
      .map(([, value]) => value);
  for (let i = 0; i < untrustedNumbers.length; i += 2) {
    map.add(decimal(untrustedNumbers[i]), decimal(untrustedNumbers[i + 1]));
  }
  return map;
}
