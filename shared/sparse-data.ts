import { KiB } from './sizes.ts';

/** A run of bytes that is not a hole. */
export interface Extent {
  readonly offset: number;
  readonly length: number;
}

/**
 * Data of a file with holes. Pieces come in ascending order of offset; between them are zeros. The bytes of each are valid
 * until the next one is asked for.
 */
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
 * Returns a function that counts the bytes of a range that are in extents rather than in holes. Its calls must be for
 * ranges in ascending order that do not overlap, and the extents must be the same.
 */
export function dataWithin(extents: readonly Extent[]): (offset: number, length: number) => number {
  let at = 0;
  return (offset, length) => {
    let bytes = 0;
    for (; at < extents.length; at++) {
      const extent = extents[at] ?? { offset: 0, length: 0 };
      const [end, extentEnd] = [offset + length, extent.offset + extent.length];
      bytes += Math.max(0, Math.min(end, extentEnd) - Math.max(offset, extent.offset));
      // Later ranges may have the rest of this extent.
      if (extentEnd > end) break;
    }
    return bytes;
  };
}

const ZEROS = Buffer.alloc(64 * KiB);
