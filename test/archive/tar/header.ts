import { encodeHeader } from '../../../dom0-agent/archive/tar/header-block.ts';

const TEMPLATE = await encodeHeader('', 0);

/** The header block of a plain file with some bytes overwritten, and the checksum corrected. */
export function header(
  path: string,
  size: number,
  changes: Record<number, string | Buffer> = {},
): Buffer {
  const block = Buffer.from(TEMPLATE);
  block.write(path, 0, 'latin1');
  block.write(octal(size), 124, 'latin1');
  for (const [at, bytes] of Object.entries(changes)) {
    Buffer.from(bytes as string, 'latin1').copy(block, Number(at));
  }
  setChecksum(block);
  return block;
}

/** Corrects the checksum of a header block. */
export function setChecksum(block: Buffer): void {
  block.fill(' ', 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
}

/** Number fields of twelve bytes. */
export function octal(...numbers: number[]): string {
  return numbers.map((number) => `${number.toString(8).padStart(11, '0')}\0`).join('');
}
