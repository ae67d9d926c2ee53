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

const ZEROS = Buffer.alloc(64 * KiB);
