import { once } from 'node:events';
import { type Header, pack } from 'tar-stream';
import { DamagedError } from '../../../shared/errors.ts';
import { BLOCK, parseNumber } from '../../../shared/tar-block.ts';

/** The longest name that fits in the `name` field. */
export const LONGEST_NAME = 100;

type WrittenHeader = Pick<Header, 'name' | 'size' | 'mode' | 'mtime' | 'type' | 'pax'>;

/**
 * The header, for tar-stream, of a plain file that coffer writes in the outer tar or an inner one: without time
 * and owner, so that the same content gives the same bytes. `pax`: the records of a preceding pax header.
 */
export function writtenHeader(
  name: string,
  size: number,
  pax: Readonly<Record<string, string>> | null = null,
): WrittenHeader {
  return { name, size, mode: 0o600, mtime: new Date(0), type: 'file', pax };
}

/** Everything before the data of such a member, as tar-stream's `pack` writes it. */
export async function encodeHeader(...header: Parameters<typeof writtenHeader>): Promise<Buffer> {
  const tar = pack();
  tar.entry(writtenHeader(...header));
  await once(tar, 'readable');
  const blocks: Buffer[] = [];
  for (let block = readFrom(tar); block !== null; block = readFrom(tar)) blocks.push(block);
  return Buffer.concat(blocks);
}

/** The header of a plain file with a short name and less than 8 GiB: the same bytes as `encodeHeader`, in less time. */
export async function plainHeader(name: string, size: number): Promise<Buffer> {
  if (name.length > LONGEST_NAME || size > LARGEST_OCTAL) return await encodeHeader(name, size);
  const block = Buffer.from(await (template ??= encodeHeader('', 0)));
  block.write(name, 'latin1');
  block.write(octal(size, SIZE_DIGITS), SIZE_AT, 'latin1');
  block.write(octal(checksum(block), CHECKSUM_DIGITS), CHECKSUM_AT, 'latin1');
  return block;
}

/** The header of a file without a name and without data: all others differ from it in three fields. */
let template: Promise<Buffer> | undefined;

const [SIZE_AT, SIZE_DIGITS] = [124, 11];
const [CHECKSUM_AT, CHECKSUM_DIGITS] = [148, 6];
const LARGEST_OCTAL = 8 ** SIZE_DIGITS - 1;

function octal(number: number, digits: number): string {
  return number.toString(8).padStart(digits, '0');
}

function readFrom(tar: ReturnType<typeof pack>): Buffer | null {
  return tar.read() as Buffer | null;
}

/**
 * A header block of an inner tar: POSIX.1-2001's "ustar", with GNU tar's numbers in base 256. tar-stream reads
 * neither old GNU sparse files nor multi-volume tars, and only UTF-8 names; here names are bytes: one character
 * of these strings is one byte (latin1).
 */
export interface TarHeader {
  readonly path: string;
  /** Bytes of data that follow in the archive. */
  readonly size: number;
  /** The type flag: `0` a file, `5` a directory, `S` an old GNU sparse file … */
  readonly type: string;
  readonly linkTarget: string;
}

/** Parses a header block. Throws a DamagedError that begins with `where`. */
export function parseTarHeader(untrustedBlock: Buffer, where: string): TarHeader {
  if (parseNumber(untrustedBlock.subarray(148, 156)) !== checksum(untrustedBlock)) {
    throw new DamagedError(`${where} is damaged: the checksum of a tar header is wrong`);
  }
  const size = parseSize(untrustedBlock);
  if (size === undefined) throw new DamagedError(`${where} is damaged: a member has no valid size`);
  const flag = untrustedBlock.toString('latin1', 156, 157);
  return {
    path: parsePath(untrustedBlock),
    size,
    type: flag === '\0' || flag === '7' ? '0' : flag,
    linkTarget: text(untrustedBlock.subarray(157, 257)),
  };
}

/** The size in a header block, ignoring everything else; undefined if it is invalid. */
export function parseSize(untrustedBlock: Buffer): number | undefined {
  return parseNumber(untrustedBlock.subarray(124, 136));
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

/** The sum of the block's bytes, with spaces for its checksum field. */
function checksum(block: Buffer): number {
  let sum = 8 * 0x20;
  for (let i = 0; i < 148; i++) sum += block[i] ?? 0;
  for (let i = 156; i < BLOCK; i++) sum += block[i] ?? 0;
  return sum;
}
