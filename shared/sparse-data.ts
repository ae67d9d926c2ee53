import { KiB } from './sizes.ts';

/** A run of bytes that is not a hole. */
export interface Extent {
  readonly offset: number;
  readonly length: number;
}

/** A piece of a file with holes. Pieces come in ascending order; between them are zeros. */
export interface DataPiece {
  readonly offset: number;
  readonly bytes: Buffer;
}

/** Whether all bytes are zero. */
export function isZero(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; at += ZEROS.length) {
    const slice = bytes.subarray(at, at + ZEROS.length);
    if (!slice.equals(ZEROS.subarray(0, slice.length))) return false;
  }
  return true;
}

/**
 * How many bytes of ranges belong to extents, and not to holes. The ranges are given in ascending order, and do not
 * overlap; nor do the extents.
 */
export function dataWithin(extents: readonly Extent[]): (offset: number, length: number) => number {
  let at = 0;
  return (offset, length) => {
    let bytes = 0;
    for (; at < extents.length; at++) {
      const extent = extents[at] ?? { offset: 0, length: 0 };
      const [end, extentEnd] = [offset + length, extent.offset + extent.length];
      bytes += Math.max(0, Math.min(end, extentEnd) - Math.max(offset, extent.offset));
      // The rest of it is in a later range.
      if (extentEnd > end) break;
    }
    return bytes;
  };
}

const ZEROS = Buffer.alloc(64 * KiB);
