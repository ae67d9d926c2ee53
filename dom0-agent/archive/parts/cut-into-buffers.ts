import { noteBuffer } from '../../../shared/buffer-collection.ts';
import type { BufferPool } from './buffer-pool.ts';

/** Bytes in a buffer that must be returned to the pool. */
export interface FilledBuffer {
  readonly bytes: Buffer;
  /** The buffer that `bytes` is the beginning of. */
  readonly buffer: Buffer;
}

/**
 * `source`, cut into buffers of `size` bytes, the last of which may be partly filled; none when it is empty.
 */
export async function* cutIntoBuffers(
  source: AsyncIterable<Buffer>,
  size: number,
  pool: BufferPool,
): AsyncGenerator<FilledBuffer, void, undefined> {
  let buffer: Buffer | undefined;
  let filled = 0;
  for await (const chunk of source) {
    noteBuffer(chunk.length);
    for (let taken = 0; taken < chunk.length;) {
      buffer ??= await pool.take(size);
      const copied = chunk.copy(buffer, filled, taken);
      taken += copied;
      filled += copied;
      if (filled === size) {
        yield { bytes: buffer, buffer };
        buffer = undefined;
        filled = 0;
      }
    }
  }
  if (buffer !== undefined) yield { bytes: buffer.subarray(0, filled), buffer };
}
