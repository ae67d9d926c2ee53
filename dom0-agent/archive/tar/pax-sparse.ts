import { BLOCK } from '../../../shared/tar-block.ts';
import type { ByteReader } from '../../../shared/byte-reader.ts';
import type { PaxRecord } from './pax.ts';
import { SparseMap } from './sparse-map.ts';

const NEWLINE = 0x0a;
const ZERO_DIGIT = 0x30;

/**
 * The map of a pax sparse 1.0 member, which stands before its data: the number of entries, then
 * offset and length of each, in decimal, one per line, filled up to whole blocks.
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

/** The map of a pax sparse 0.0 or 0.1 member, which stands in its pax header. */
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

/** A decimal number up to 2^53 - 1; undefined for anything else. */
export function decimal(untrustedText: string | undefined): number | undefined {
  if (untrustedText === undefined || !/^[0-9]{1,16}$/.test(untrustedText)) return undefined;
  const value = Number(untrustedText);
  return Number.isSafeInteger(value) ? value : undefined;
}
