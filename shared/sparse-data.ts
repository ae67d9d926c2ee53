/** A run of bytes that is not a hole. */
export interface Extent {
  readonly offset: number;
  readonly length: number;
}

/** A piece of a file with holes. Pieces come in ascending order; what lies between them is zeros. */
export interface DataPiece {
  readonly offset: number;
  readonly bytes: Buffer;
}
