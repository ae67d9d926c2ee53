import type { ByteReader } from './byte-reader.ts';
import { DamagedError } from './errors.ts';
import { BLOCK, parseNumber } from './tar-block.ts';

/** A block of the map: the positions of its entries, and of the flag that another block follows. */
interface Layout {
  readonly entriesAt: number;
  readonly entries: number;
  readonly extendedAt: number;
}

// GNU tar's tar.h: struct oldgnu_header and struct sparse_header.
const HEADER: Layout = { entriesAt: 386, entries: 4, extendedAt: 482 };
const EXTENSION: Layout = { entriesAt: 0, entries: 21, extendedAt: 504 };
const TYPE_AT = 156;
const REAL_SIZE_AT = 483;
const NUMBER = 12;

/** Receives the extents of a map, in order. */
interface ExtentCollector {
  add(offset: number, length: number): void;
}

/** Whether a header block is that of an old GNU sparse member. */
export function isOldGnuSparse(untrustedHeader: Buffer): boolean {
  return untrustedHeader[TYPE_AT] === 'S'.charCodeAt(0);
}

/** The size of an old GNU sparse member, holes included; undefined if it is invalid. */
export function oldGnuRealSize(untrustedHeader: Buffer): number | undefined {
  return parseNumber(untrustedHeader.subarray(REAL_SIZE_AT, REAL_SIZE_AT + NUMBER));
}

/**
 * Reads the map of an old GNU sparse member from its header, and from the following blocks in `bytes`. `map` must
 * check that the extents are valid. Throws a DamagedError that begins with the name of `bytes`.
 */
export async function readOldGnuMap(
  untrustedHeader: Buffer,
  bytes: ByteReader,
  map: ExtentCollector,
): Promise<void> {
  addEntries(map, untrustedHeader, HEADER, bytes.name);
  for await (const untrustedBlock of oldGnuExtensions(untrustedHeader, () => bytes.exact(BLOCK))) {
    addEntries(map, untrustedBlock, EXTENSION, bytes.name);
  }
}

/** The blocks after an old GNU sparse header that continue its map. */
export async function* oldGnuExtensions(
  untrustedHeader: Buffer,
  nextBlock: () => Promise<Buffer>,
): AsyncGenerator<Buffer, void, undefined> {
  let isExtended = untrustedHeader[HEADER.extendedAt] !== 0;
  while (isExtended) {
    const untrustedBlock = await nextBlock();
    yield untrustedBlock;
    isExtended = untrustedBlock[EXTENSION.extendedAt] !== 0;
  }
}

/** The error for an invalid sparse map of any format. */
export function damagedMap(where: string, what: string): DamagedError {
  return new DamagedError(`${where} is damaged: its map of holes ${what}`);
}

/** There are no gaps between entries: the first empty one ends the map. */
function addEntries(
  map: ExtentCollector,
  untrustedBlock: Buffer,
  layout: Layout,
  where: string,
): void {
  for (let i = 0; i < layout.entries; i++) {
    const at = layout.entriesAt + 2 * NUMBER * i;
    if (untrustedBlock[at + NUMBER] === 0) {
      if (untrustedBlock[layout.extendedAt] !== 0) throw damagedMap(where, 'has a gap');
      return;
    }
    const offset = parseNumber(untrustedBlock.subarray(at, at + NUMBER));
    const length = parseNumber(untrustedBlock.subarray(at + NUMBER, at + 2 * NUMBER));
    if (offset === undefined || length === undefined) {
      throw damagedMap(where, 'has a number that cannot be read');
    }
    map.add(offset, length);
  }
}
