/** The same bytes in pieces of `size` bytes, at least one; the last may be shorter. Each has its own memory. */
export function* cutText(
  pieces: Iterable<Buffer>,
  size: number,
): Generator<Buffer, void, undefined> {
  let piece = Buffer.alloc(size);
  let filled = 0;
  for (const bytes of pieces) {
    for (let taken = 0; taken < bytes.length;) {
      if (filled === size) {
        yield piece;
        piece = Buffer.alloc(size);
        filled = 0;
      }
      const copied = bytes.copy(piece, filled, taken);
      taken += copied;
      filled += copied;
    }
  }
  yield piece.subarray(0, filled);
}
