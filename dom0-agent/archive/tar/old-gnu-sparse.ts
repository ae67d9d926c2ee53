import { BLOCK } from './header-block.ts';
import type { ByteReader } from '../../../shared/byte-reader.ts';
import { parseNumber } from './inner-header.ts';
import { SparseMap } from './sparse-map.ts';

/** A block of an old GNU sparse member: where its entries are, and the flag that another follows. */
interface Layout {
  readonly entriesAt: number;
  readonly entries: number;
  readonly extendedAt: number;
}

// GNU tar's tar.h: struct oldgnu_header and struct sparse_header.
const HEADER: Layout = { entriesAt: 386, entries: 4, extendedAt: 482 };
const EXTENSION: Layout = { entriesAt: 0, entries: 21, extendedAt: 504 };
const REAL_SIZE_AT = 483;
const NUMBER = 12;

/** The map of an old GNU sparse member (type `S`): in its header and in the blocks after that. */
export async function readOldGnuMap(
  untrustedHeader: Buffer,
  bytes: ByteReader,
  where: string,
): Promise<SparseMap> {
  const map = new SparseMap(oldGnuRealSize(untrustedHeader), where);
  addEntries(map, untrustedHeader, HEADER);
  let extended = headerIsExtended(untrustedHeader);
  while (extended) {
    const untrustedBlock = await bytes.exact(BLOCK);
    addEntries(map, untrustedBlock, EXTENSION);
    extended = extensionIsExtended(untrustedBlock);
  }
  return map;
}

/** The size of an old GNU sparse member, holes included. */
export function oldGnuRealSize(untrustedHeader: Buffer): number | undefined {
  return parseNumber(untrustedHeader.subarray(REAL_SIZE_AT, REAL_SIZE_AT + NUMBER));
}

/** Whether a block with more of the map follows the header of an old GNU sparse member. */
export function headerIsExtended(untrustedHeader: Buffer): boolean {
  return untrustedHeader[HEADER.extendedAt] !== 0;
}

/** Whether another block with more of the map follows such a block. */
export function extensionIsExtended(untrustedBlock: Buffer): boolean {
  return untrustedBlock[EXTENSION.extendedAt] !== 0;
}

/** Entries stand without gaps: where one is empty, the map ends. */
function addEntries(map: SparseMap, untrustedBlock: Buffer, layout: Layout): void {
  for (let i = 0; i < layout.entries; i++) {
    const offsetAt = layout.entriesAt + 2 * NUMBER * i;
    const lengthAt = offsetAt + NUMBER;
    if (untrustedBlock[lengthAt] === 0) {
      if (untrustedBlock[layout.extendedAt] !== 0) throw map.damaged('has a gap');
      return;
    }
    map.add(
      parseNumber(untrustedBlock.subarray(offsetAt, lengthAt)),
      parseNumber(untrustedBlock.subarray(lengthAt, lengthAt + NUMBER)),
    );
  }
}
