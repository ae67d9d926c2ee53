import { LONGEST_FRAME } from './limits.ts';
import { CutShortError, ProtocolError } from './protocol-error.ts';

/** The longest length prefix in bytes, an unsigned varint: 7 bits in each, 21 in all. */
const LONGEST_PREFIX = 3;

/**
 * The length prefix of a frame, an unsigned varint (LEB128, as in protobuf). Throws RangeError for a length that no
 * frame may have: that would be our own bug.
 */
export function framePrefix(length: number): Buffer {
  if (!Number.isInteger(length) || length < 1 || length > LONGEST_FRAME) {
    throw new RangeError(`a frame cannot have ${length} bytes`);
  }
  const bytes: number[] = [];
  let rest = length;
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  bytes.push(rest);
  return Buffer.from(bytes);
}

/**
 * Cuts a stream into frames, whatever its chunks. The length of each frame is checked against LONGEST_FRAME before
 * memory is allocated; a frame that is within one chunk is not copied, any other is copied once. Throws ProtocolError
 * for a length that is zero, too long or not in its shortest form, and CutShortError when the stream ends within a
 * frame.
 *
 * @param room memory for the copies, at least LONGEST_FRAME bytes: each frame is then valid only until the next one
 *   is asked for; undefined: new memory for every copy
 */
export async function* frames(
  untrustedChunks: AsyncIterable<Buffer>,
  room?: Buffer,
): AsyncGenerator<Buffer, void> {
  const length = new LengthReader();
  let frame: Buffer | undefined;
  let filled = 0;
  for await (const chunk of untrustedChunks) {
    let at = 0;
    while (at < chunk.length) {
      if (frame === undefined) {
        const complete = length.take(chunk.readUInt8(at++));
        if (complete === undefined) continue;
        if (complete <= chunk.length - at) {
          yield chunk.subarray(at, at + complete);
          at += complete;
          continue;
        }
        frame = room?.subarray(0, complete) ?? Buffer.allocUnsafeSlow(complete);
        filled = 0;
      }
      const copied = chunk.copy(frame, filled, at);
      filled += copied;
      at += copied;
      if (filled === frame.length) {
        yield frame;
        frame = undefined;
      }
    }
  }
  if (frame !== undefined || length.isWithin) {
    throw new CutShortError('the stream ends in the middle of a message');
  }
}

/** Reads the length of a frame, byte by byte. */
class LengthReader {
  #value = 0;
  #bytes = 0;

  get isWithin(): boolean {
    return this.#bytes > 0;
  }

  /** The length, once its last byte has been taken. */
  take(byte: number): number | undefined {
    this.#value |= (byte & 0x7f) << (7 * this.#bytes);
    this.#bytes += 1;
    if (byte > 0x7f) {
      if (this.#bytes === LONGEST_PREFIX) throw new ProtocolError('a length has too many digits');
      return undefined;
    }
    const length = this.#value;
    if (byte === 0) {
      throw new ProtocolError(
        length === 0 ? 'a message is empty' : 'a length has superfluous digits',
      );
    }
    if (length > LONGEST_FRAME) {
      throw new ProtocolError(`a message of ${length} bytes is longer than is allowed`);
    }
    this.#value = 0;
    this.#bytes = 0;
    return length;
  }
}
