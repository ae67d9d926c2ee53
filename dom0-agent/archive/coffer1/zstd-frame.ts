/** The length of the field `Frame_Content_Size` in bytes, by its flag (RFC 8878, 3.1.1.1.1). */
const CONTENT_SIZE_LENGTHS = [0, 2, 4, 8];
/** The length of the field `Dictionary_ID`, likewise. */
const DICTIONARY_ID_LENGTHS = [0, 1, 2, 4];
/** The length of the magic number and the descriptor, which determines the length of the rest of the header. */
const BEGINNING = 5;
const BLOCK_HEADER = 3;

/**
 * Finds the end of a zstd frame (RFC 8878, 3.1.1) that a program prints piece by piece, from the sizes in the headers
 * of its blocks.
 */
export class ZstdFrameEnd {
  /** The bytes of an incomplete header. */
  #header: number[] = [];
  /** How many bytes to skip before the next header. */
  #passing = 0;
  #next: 'frame' | 'block' | 'end' = 'frame';
  #checksum = 0;

  /** Takes the next piece. Returns how many bytes of it belong to the frame if the frame ends in it. */
  see(piece: Buffer): number | undefined {
    for (let at = 0; ;) {
      const passed = Math.min(this.#passing, piece.length - at);
      this.#passing -= passed;
      at += passed;
      if (this.#passing > 0) return undefined;
      if (this.#next === 'end') return at;
      const byte = piece[at++];
      if (byte === undefined) return undefined;
      this.#header.push(byte);
      if (this.#next === 'frame') this.#beginFrame();
      else this.#beginBlock();
    }
  }

  #beginFrame(): void {
    if (this.#header.length < BEGINNING) return;
    const descriptor = this.#header[4] ?? 0;
    const isSingleSegment = ((descriptor >> 5) & 1) === 1;
    const sizeFlag = descriptor >> 6;
    const contentSize =
      sizeFlag === 0 && isSingleSegment ? 1 : (CONTENT_SIZE_LENGTHS[sizeFlag] ?? 0);
    const dictionaryId = DICTIONARY_ID_LENGTHS[descriptor & 3] ?? 0;
    this.#checksum = ((descriptor >> 2) & 1) === 1 ? 4 : 0;
    this.#passing = (isSingleSegment ? 0 : 1) + dictionaryId + contentSize;
    this.#header = [];
    this.#next = 'block';
  }

  #beginBlock(): void {
    if (this.#header.length < BLOCK_HEADER) return;
    const [low = 0, middle = 0, high = 0] = this.#header;
    const header = low | (middle << 8) | (high << 16);
    const isLast = (header & 1) === 1;
    // A block of type 1 is one byte, repeated.
    const length = ((header >> 1) & 3) === 1 ? 1 : header >> 3;
    this.#passing = length + (isLast ? this.#checksum : 0);
    this.#header = [];
    this.#next = isLast ? 'end' : 'block';
  }
}
