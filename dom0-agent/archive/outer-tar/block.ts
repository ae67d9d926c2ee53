import { DamagedError } from '../../../shared/errors.ts';

/** Everything in a tar comes in blocks of this many bytes (POSIX.1-2001, "ustar"). */
export const BLOCK = 512;

/** The longest name that the `name` field holds; coffer writes none that is longer. */
export const LONGEST_NAME = 100;
const LARGEST_SIZE = 8 ** 11 - 1;

/** The part of a member's header that the outer tar uses. */
export interface BlockHeader {
  readonly name: string;
  readonly size: number;
  readonly type: 'file' | 'pax';
}

/** The number of zeros that fill a member of `size` bytes up to whole blocks. */
export function paddingOf(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}

/** The same bytes of header for every member of that name and size: nothing else is told. */
export function encodeBlockHeader(name: string, size: number): Buffer {
  if (Buffer.byteLength(name) > LONGEST_NAME || size > LARGEST_SIZE) {
    throw new RangeError(`no outer member can have the name ${name} and ${size} bytes`);
  }
  const block = Buffer.alloc(BLOCK);
  block.write(name, 0, 'latin1');
  block.write('0000600\0', 100, 'latin1'); // mode
  block.write('0000000\0', 108, 'latin1'); // uid
  block.write('0000000\0', 116, 'latin1'); // gid
  block.write(`${size.toString(8).padStart(11, '0')}\0`, 124, 'latin1');
  block.write('00000000000\0', 136, 'latin1'); // mtime
  block.write('0', 156, 'latin1'); // a regular file
  block.write('ustar\x0000', 257, 'latin1');
  block.write(`${checksum(block).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

/**
 * Reads the header of an outer member: a regular file, or the pax header that `tar --posix` puts
 * before one. Anything else has no place in a backup. Throws DamagedError.
 */
export function parseBlockHeader(untrustedBlock: Buffer): BlockHeader {
  const stated = octal(untrustedBlock.subarray(148, 156));
  if (stated !== checksum(untrustedBlock)) {
    throw new DamagedError('this is not a backup, or it is damaged: a tar header does not add up');
  }
  const isUstar = untrustedBlock.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = isUstar ? text(untrustedBlock.subarray(345, 500)) : '';
  const name = text(untrustedBlock.subarray(0, LONGEST_NAME));
  const size = octal(untrustedBlock.subarray(124, 136));
  if (size === undefined) throw new DamagedError('a member of the backup has no readable size');
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    size,
    type: typeOf(untrustedBlock[156]),
  };
}

function typeOf(untrustedFlag: number | undefined): BlockHeader['type'] {
  if (untrustedFlag === 0 || untrustedFlag === 0x30) return 'file';
  if (untrustedFlag === 0x78) return 'pax';
  throw new DamagedError('the backup holds a member that is not a plain file, as no backup does');
}

/** The sum of the block's bytes, its checksum field counted as spaces. */
function checksum(block: Buffer): number {
  let sum = 8 * 0x20;
  for (let i = 0; i < 148; i++) sum += block[i] ?? 0;
  for (let i = 156; i < BLOCK; i++) sum += block[i] ?? 0;
  return sum;
}

/** A number in octal digits; undefined for anything else (so none above 8 GiB: parts are small). */
function octal(field: Buffer): number | undefined {
  const digits = /^ *([0-7]+)[ \0]*$/.exec(field.toString('latin1'))?.[1];
  return digits === undefined ? undefined : parseInt(digits, 8);
}

function text(field: Buffer): string {
  const end = field.indexOf(0);
  return field.toString('latin1', 0, end < 0 ? field.length : end);
}
