import { DamagedError } from '../../../shared/errors.ts';
import { BLOCK, parseNumber } from '../../../shared/tar-block.ts';

/** The block of zeros, of which two end a tar. */
export const ZERO_BLOCK = Buffer.alloc(BLOCK);

/** What `name` holds; longer names go into a pax header. */
export const LONGEST_NAME = 100;
/** What eleven octal digits hold; a larger size goes into a pax header. */
export const LARGEST_OCTAL = 8 ** 11 - 1;

/**
 * A header block of the inner tar. The layout is POSIX.1-2001's "ustar", with GNU tar's numbers in
 * base 256. Names are bytes: in these strings one character is one byte (latin1).
 */
export interface TarHeader {
  readonly path: string;
  readonly mode: number;
  /** Bytes of data that follow in the archive. */
  readonly size: number;
  /** Seconds since 1970. */
  readonly mtime: number;
  /** The type flag: `0` a file, `5` a directory, `S` an old GNU sparse file … */
  readonly type: string;
  readonly linkTarget: string;
}

/** Reads a header block. Throws a DamagedError that begins with `where`. */
export function parseHeader(untrustedBlock: Buffer, where: string): TarHeader {
  if (parseNumber(untrustedBlock.subarray(148, 156)) !== checksum(untrustedBlock)) {
    throw new DamagedError(`${where} is damaged: a tar header does not add up`);
  }
  const size = parseNumber(untrustedBlock.subarray(124, 136));
  if (size === undefined) throw new DamagedError(`${where} is damaged: a member has no size`);
  const flag = untrustedBlock.toString('latin1', 156, 157);
  return {
    path: parsePath(untrustedBlock),
    mode: (parseNumber(untrustedBlock.subarray(100, 108)) ?? 0) & 0o7777,
    size,
    mtime: parseNumber(untrustedBlock.subarray(136, 148)) ?? 0,
    type: flag === '\0' || flag === '7' ? '0' : flag,
    linkTarget: text(untrustedBlock.subarray(157, 257)),
  };
}

/** The header block of a member that belongs to root and that nobody else may read. */
export function encodeHeader(path: string, size: number, type: '0' | 'x', mtime: number): Buffer {
  const block = Buffer.alloc(BLOCK);
  block.write(path, 0, LONGEST_NAME, 'latin1');
  block.write('0000600\0', 100, 'latin1'); // mode
  block.write('0000000\0', 108, 'latin1'); // uid
  block.write('0000000\0', 116, 'latin1'); // gid
  block.write(`${octal(size > LARGEST_OCTAL ? 0 : size, 11)}\0`, 124, 'latin1');
  block.write(`${octal(mtime, 11)}\0`, 136, 'latin1');
  block.write(type, 156, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  block.write(`${octal(checksum(block), 6)}\0 `, 148, 'latin1');
  return block;
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0');
}

/** POSIX continues a long name before it, in `prefix`; GNU tar has other fields there. */
function parsePath(untrustedBlock: Buffer): string {
  const name = text(untrustedBlock.subarray(0, LONGEST_NAME));
  const isPosix = untrustedBlock.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = isPosix ? text(untrustedBlock.subarray(345, 500)) : '';
  return prefix === '' ? name : `${prefix}/${name}`;
}

/** The bytes of a field up to the first NUL. */
export function text(untrustedField: Buffer): string {
  const end = untrustedField.indexOf(0);
  return untrustedField.toString('latin1', 0, end < 0 ? untrustedField.length : end);
}

/** The sum of the block's bytes, its checksum field counted as spaces. */
function checksum(block: Buffer): number {
  let sum = 8 * 0x20;
  for (let i = 0; i < 148; i++) sum += block[i] ?? 0;
  for (let i = 156; i < BLOCK; i++) sum += block[i] ?? 0;
  return sum;
}
