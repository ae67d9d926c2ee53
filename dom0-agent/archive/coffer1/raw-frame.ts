/**
 * Texts up to this length, in bytes, are stored in their frame as they are: starting zstd takes longer than reading them, and
 * a restore from a long series reads two of them for each file.
 */
export const LONGEST_RAW = 16 * 1024;

/** What stands around the text in such a frame, in bytes. */
export const FRAME_OVERHEAD = 12;

/** `Magic_Number`, and a `Frame_Header_Descriptor` that announces the size of the content, in four bytes, and no checksum. */
const BEGINNING = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0xa0]);
const BLOCK = BEGINNING.length + 4;
/** The first bits of a block's header: the last one, uncompressed. */
const LAST_RAW_BLOCK = 0b001;

/**
 * The zstd frame (RFC 8878, 3.1.1) of one raw block with a text of up to LONGEST_RAW bytes, at the beginning of `target`:
 * `zstd -d` gives the text again.
 */
export function writeRawFrame(text: Buffer, target: Buffer): Buffer {
  if (text.length > LONGEST_RAW) throw new RangeError('the text is too long for a raw frame');
  BEGINNING.copy(target);
  target.writeUInt32LE(text.length, BEGINNING.length);
  target.writeUIntLE((text.length << 3) | LAST_RAW_BLOCK, BLOCK, 3);
  text.copy(target, FRAME_OVERHEAD);
  return target.subarray(0, FRAME_OVERHEAD + text.length);
}

/** The text in such a frame, which shares its memory. Undefined for whatever else, which zstd has to read. */
export function readRawFrame(frame: Buffer): Buffer | undefined {
  const length = frame.length - FRAME_OVERHEAD;
  if (length < 0 || length > LONGEST_RAW) return undefined;
  const isRaw =
    frame.subarray(0, BEGINNING.length).equals(BEGINNING) &&
    frame.readUInt32LE(BEGINNING.length) === length &&
    frame.readUIntLE(BLOCK, 3) === ((length << 3) | LAST_RAW_BLOCK);
  return isRaw ? frame.subarray(FRAME_OVERHEAD) : undefined;
}
