/** Records of a send stream, in the layout of OpenZFS on x86-64: 312 bytes each, little-endian. */
const RECORD_SIZE = 312;

export const FROM = 0x1122_3344_5566_7788n;
export const TO = 0x99aa_bbcc_ddee_ff00n;
export const TO_THE_END = 0xffff_ffff_ffff_ffffn;

/** The beginning of a record, with 32-bit and 64-bit numbers at their offsets. */
function record(type: number, fields: Readonly<Record<number, number | bigint>>): Buffer {
  const bytes = Buffer.alloc(RECORD_SIZE);
  bytes.writeUInt32LE(type, 0);
  for (const [at, value] of Object.entries(fields)) {
    if (typeof value === 'bigint') bytes.writeBigUInt64LE(value, Number(at));
    else bytes.writeUInt32LE(value, Number(at));
  }
  return bytes;
}

/** The beginning of an incremental stream of a volume, as `zfs send --large-block --embed --compressed` gives it. */
export function begin(changes: Readonly<Record<number, number | bigint>> = {}): Buffer {
  const features = (1n << 16n) | (1n << 17n) | (1n << 22n);
  return record(0, {
    ...{ 8: 0x2f5bacbacn, 16: (features << 2n) | 1n, 32: 3, 40: TO, 48: FROM },
    ...changes,
  });
}

/** The object with the volume's data, or another one. */
export function object(
  number = 1n,
  changes: Readonly<Record<number, number | bigint>> = {},
): Buffer {
  const type = number === 1n ? 23 : 1;
  return record(1, { 8: number, 16: type, 24: 8192, 28: 0, 40: TO, ...changes });
}

export function freeObjects(first: bigint, count: bigint): Buffer {
  return record(2, { 8: first, 16: count, 24: TO });
}

export function write(
  offset: number,
  length: number,
  { compressed = 0, number = 1n, type = 23 } = {},
): Buffer {
  const header = record(3, {
    ...{ 8: number, 16: type, 24: BigInt(offset), 32: BigInt(length), 40: TO },
    ...{ 96: BigInt(compressed) },
  });
  header[50] = compressed === 0 ? 0 : 15;
  return Buffer.concat([header, Buffer.alloc(compressed === 0 ? length : compressed, 0xee)]);
}

export function writeEmbedded(offset: number, length: number, stored: number): Buffer {
  const header = record(8, {
    ...{ 8: 1n, 16: BigInt(offset), 24: BigInt(length), 32: TO, 48: length, 52: stored },
  });
  return Buffer.concat([header, Buffer.alloc(Math.ceil(stored / 8) * 8, 0xee)]);
}

export function free(offset: number, length: number | bigint, number = 1n): Buffer {
  return record(4, { 8: number, 16: BigInt(offset), 24: BigInt(length), 32: TO });
}

export function end(): Buffer {
  return record(5, { 40: TO });
}
