import { type Header, pack } from 'tar-stream';
import { BLOCK } from '../../../shared/tar-block.ts';

/** What ends a tar: two blocks of zeros. */
export const END_OF_TAR = Buffer.alloc(2 * BLOCK);

/** The longest name that the `name` field holds; coffer writes none that is longer. */
export const LONGEST_NAME = 100;
const LARGEST_SIZE = 8 ** 11 - 1;

type OuterHeader = Pick<Header, 'name' | 'size' | 'mode' | 'mtime' | 'type'>;

/** The same for every outer member of that name and size: no time and no owner is told. */
export function outerHeader(name: string, size: number): OuterHeader {
  if (Buffer.byteLength(name) > LONGEST_NAME || size > LARGEST_SIZE) {
    throw new RangeError(`no outer member can have the name ${name} and ${size} bytes`);
  }
  return { name, size, mode: 0o600, mtime: new Date(0), type: 'file' };
}

/** The block that stands before an outer member of that name and size. */
export async function headerBlock(name: string, size: number): Promise<Buffer> {
  const tar = pack();
  tar.entry(outerHeader(name, size));
  for await (const block of tar as AsyncIterable<Buffer>) return block;
  throw new RangeError('tar-stream wrote no header');
}

export function isZero(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0);
}
