/**
 * Texts up to this length, in bytes, are stored in their frame uncompressed: starting zstd takes longer than reading
 * them, and a restore from a long series reads two of them for each file.
 */
export const LONGEST_RAW = 16 * 1024;

/** How many bytes such a frame has besides the text. */
export const FRAME_OVERHEAD = 12;

/** `Magic_Number`, and a `Frame_Header_Descriptor` that announces the content's size in four bytes, and no checksum. */
const BEGINNING = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0xa0]);
/** The position of the block's header, after the size. */
const BLOCK = BEGINNING.length + 4;
/** The lowest bits of the block's header: the last block, uncompressed. */
const LAST_RAW_BLOCK = 0b001;

/**
 * The zstd frame (RFC 8878, 3.1.1) of one raw block with a text of up to LONGEST_RAW bytes, at the beginning of
 * `target`: `zstd -d` gives the text again.
 */
export function writeRawFrame(text: Buffer, target: Buffer): Buffer {
  if (text.length > LONGEST_RAW) throw new RangeError('the text is too long for a raw frame');
  BEGINNING.copy(target);
  target.writeUInt32LE(text.length, BEGINNING.length);
  target.writeUIntLE((text.length << 3) | LAST_RAW_BLOCK, BLOCK, 3);
  text.copy(target, FRAME_OVERHEAD);
  return target.subarray(0, FRAME_OVERHEAD + text.length);
}

/** The text in such a frame, whose memory it shares. Undefined for anything else, which zstd has to decompress. */
export function readRawFrame(frame: Buffer): Buffer | undefined {
  const length = frame.length - FRAME_OVERHEAD;
  if (length < 0 || length > LONGEST_RAW) return undefined;
  const isRaw =
    frame.subarray(0, BEGINNING.length).equals(BEGINNING) &&
    frame.readUInt32LE(BEGINNING.length) === length &&
    frame.readUIntLE(BLOCK, 3) === ((length << 3) | LAST_RAW_BLOCK);
  return isRaw ? frame.subarray(FRAME_OVERHEAD) : undefined;
}
