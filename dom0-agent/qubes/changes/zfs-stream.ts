import { ByteReader } from '../../../shared/byte-reader.ts';
import { noteBuffer } from '../../../shared/buffer-collection.ts';
import { DamagedError } from '../../../shared/errors.ts';
import { MiB } from '../../../shared/sizes.ts';
import type { Extent } from '../../../shared/sparse-data.ts';
import { ExtentList } from '../pools/extent-list.ts';

/** The snapshots that an incremental stream must be between, and the size of the volume in the later one, in bytes. */
export interface ExpectedStream {
  readonly fromGuid: bigint;
  readonly toGuid: bigint;
  readonly size: number;
}

/** What a stream changes. */
export interface StreamedChanges {
  /** What may differ between the two snapshots: ascending, disjoint, within the volume. */
  readonly changed: readonly Extent[];
  /** Where there may be data in the later one; the rest reads as zeros. */
  readonly extents: readonly Extent[];
}

/** `dmu_replay_record_t`, from include/sys/zfs_ioctl.h of OpenZFS (the same in 0.8 to 2.4): 8 bytes and a union. */
const RECORD_SIZE = 312;
const MAGIC = 0x2f5bacbacn;
const SUBSTREAM = 1n;
const HEADER_TYPE_BITS = 2n;
/** The flags `DMU_BACKUP_FEATURE_…` that may be set: none of them changes what the records below mean. */
const KNOWN_FEATURES =
  (1n << 16n) | // EMBED_DATA
  (1n << 17n) | // LZ4
  (1n << 19n) | // LARGE_BLOCKS
  (1n << 22n) | // COMPRESSED
  (1n << 23n) | // LARGE_DNODE
  (1n << 25n); // ZSTD
const OBJECT_SET_OF_A_VOLUME = 3;

/** `drr_type` */
const BEGIN = 0;
const OBJECT = 1;
const FREEOBJECTS = 2;
const WRITE = 3;
const FREE = 4;
const END = 5;
const WRITE_EMBEDDED = 8;

/** The object of a volume that has its data (ZVOL_OBJ), and its type (DMU_OT_ZVOL). */
const DATA_OBJECT = 1n;
const DATA_TYPE = 23;
/** The length in a record that frees everything up to the end of an object. */
const TO_THE_END = 0xffff_ffff_ffff_ffffn;
const LARGEST_BLOCK = 16 * MiB;
/** In bytes: a bonus is within a dnode, which has at most 16 KiB. */
const LONGEST_BONUS = 16 * 1024;

/**
 * Reads the output of `zfs send -i` for a volume to find out where it writes and frees; the data is skipped. Throws
 * DamagedError if anything in it is unknown, and the errors of `source`.
 */
export async function readSendStream(
  source: AsyncIterable<Buffer>,
  expected: ExpectedStream,
  signal: AbortSignal,
): Promise<StreamedChanges> {
  await using bytes = new ByteReader(counted(source), "ZFS' stream");
  const volume = new VolumeRecords(expected.size);
  const header = Buffer.alloc(RECORD_SIZE);
  await bytes.fill(header);
  requireBeginning(header, expected);
  for (;;) {
    signal.throwIfAborted();
    await bytes.fill(header);
    const type = header.readUInt32LE(0);
    if (header.readUInt32LE(4) !== 0) throw unknown(`a record ${type} with a payload of its own`);
    if (toGuidOf(type, header) !== expected.toGuid) throw unknown('a record of another snapshot');
    if (type === END) break;
    await bytes.skip(volume.add(type, header));
  }
  if (!(await bytes.ended())) throw unknown('more than one stream');
  return volume.end();
}

async function* counted(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  for await (const chunk of source) {
    noteBuffer(chunk.length);
    yield chunk;
  }
}

function requireBeginning(header: Buffer, { fromGuid, toGuid }: ExpectedStream): void {
  if (header.readUInt32LE(0) !== BEGIN || header.readBigUInt64LE(8) !== MAGIC) {
    throw unknown('another beginning, or another byte order');
  }
  if (header.readUInt32LE(4) !== 0) throw unknown('a beginning with a payload');
  const version = header.readBigUInt64LE(16);
  const features = version >> HEADER_TYPE_BITS;
  if ((version & 3n) !== SUBSTREAM || (features & ~KNOWN_FEATURES) !== 0n) {
    throw unknown(`the version ${version.toString(16)}`);
  }
  if (header.readUInt32LE(32) !== OBJECT_SET_OF_A_VOLUME) throw unknown('no volume');
  if (header.readBigUInt64LE(40) !== toGuid || header.readBigUInt64LE(48) !== fromGuid) {
    throw unknown('other snapshots');
  }
}

/** The snapshot that a record says it belongs to. */
function toGuidOf(type: number, header: Buffer): bigint {
  switch (type) {
    case OBJECT:
    case WRITE:
    case END:
      return header.readBigUInt64LE(40);
    case FREEOBJECTS:
      return header.readBigUInt64LE(24);
    case FREE:
    case WRITE_EMBEDDED:
      return header.readBigUInt64LE(32);
    default:
      throw unknown(`a record of type ${type}`);
  }
}

/** Collects where the records between the beginning and the end write and free in a volume's data. */
class VolumeRecords {
  readonly #size: number;
  readonly #changed = new ExtentList();
  readonly #data = new ExtentList();
  /** The end of the last record, and the end of what is known about where there is data. */
  #at = 0;
  #known = 0;
  /** Everything from this offset on was freed; undefined if there was no such record. */
  #end: number | undefined;
  #hasDataObject = false;

  constructor(size: number) {
    this.#size = size;
  }

  /** Takes a record. Returns the length of the payload that follows it, in bytes. */
  add(type: number, header: Buffer): number {
    const object = header.readBigUInt64LE(8);
    const isData = object === DATA_OBJECT;
    switch (type) {
      case OBJECT:
        if (isData) this.#noteObject(header);
        return bonusLength(header);
      case FREEOBJECTS:
        if (object <= DATA_OBJECT && object + header.readBigUInt64LE(16) > DATA_OBJECT) {
          throw unknown('a volume without data');
        }
        return 0;
      case FREE:
        if (isData) this.#free(header.readBigUInt64LE(16), header.readBigUInt64LE(24));
        return 0;
      case WRITE: {
        const length = blockLength(header.readBigUInt64LE(32));
        const isCompressed = header[50] !== 0;
        if (isData) {
          if (header.readUInt32LE(16) !== DATA_TYPE) throw unknown('data of another type');
          this.#write(header.readBigUInt64LE(24), length);
        }
        return isCompressed ? blockLength(header.readBigUInt64LE(96)) : length;
      }
      // WRITE_EMBEDDED: `toGuidOf` refuses all others.
      default: {
        if (isData) {
          this.#write(header.readBigUInt64LE(16), blockLength(header.readBigUInt64LE(24)));
        }
        return roundedUp(blockLength(BigInt(header.readUInt32LE(52))));
      }
    }
  }

  end(): StreamedChanges {
    if (this.#hasDataObject) {
      const end = Math.min(this.#end ?? this.#size, this.#size);
      this.#data.add(this.#known, Math.max(0, end - this.#known));
      this.#changed.add(end, this.#size - end);
    } else {
      this.#data.add(0, this.#size);
    }
    return { changed: this.#changed.extents, extents: this.#data.extents };
  }

  #noteObject(header: Buffer): void {
    if (this.#hasDataObject || header.readUInt32LE(16) !== DATA_TYPE) {
      throw unknown('data of another type');
    }
    this.#hasDataObject = true;
  }

  #write(offset: bigint, length: number): void {
    const from = this.#advance(offset, BigInt(length));
    if (from + length > (this.#end ?? this.#size)) throw unknown('data beyond its end');
    this.#changed.add(from, length);
  }

  #free(offset: bigint, length: bigint): void {
    if (length === TO_THE_END && this.#end === undefined) {
      // This record comes before all others.
      if (this.#at > 0) throw unknown('records that do not ascend');
      this.#end = Number(offset);
      return;
    }
    const from = this.#advance(offset, length);
    // Beyond the end everything was freed anyway.
    const until = Math.min(this.#at, this.#size, this.#end ?? Infinity);
    if (from >= until) return;
    this.#changed.add(from, until - from);
    this.#data.add(this.#known, from - this.#known);
    this.#known = until;
  }

  #advance(offset: bigint, length: bigint): number {
    if (!this.#hasDataObject) throw unknown('data of an object that was not described');
    if (offset < BigInt(this.#at)) throw unknown('records that do not ascend');
    this.#at = Number(offset + length);
    return Number(offset);
  }
}

function bonusLength(header: Buffer): number {
  const [length, rawLength] = [header.readUInt32LE(28), header.readUInt32LE(36)];
  if (rawLength !== 0 || length > LONGEST_BONUS) throw unknown('an object of another form');
  return roundedUp(length);
}

function blockLength(length: bigint): number {
  if (length === 0n || length > BigInt(LARGEST_BLOCK)) throw unknown(`a block of ${length} bytes`);
  return Number(length);
}

/** Rounded up to whole words of 8 bytes. */
function roundedUp(length: number): number {
  return Math.ceil(length / 8) * 8;
}

function unknown(what: string): DamagedError {
  return new DamagedError(`ZFS' stream has a form that coffer does not know: ${what}`);
}
