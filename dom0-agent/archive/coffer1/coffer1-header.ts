import { DamagedError } from '../../../shared/errors.ts';
import { KiB, MiB, TiB } from '../../../shared/sizes.ts';
import type { Header } from '../archive.ts';
import { GREATEST_COST_LOG2N, LEAST_COST_LOG2N, type ScryptCost } from '../scrypt-cost.ts';

/** The filters that a backup may be compressed with: programs that every system has. */
export const COFFER1_FILTERS = ['zstd', 'gzip'] as const;
export type Coffer1Filter = (typeof COFFER1_FILTERS)[number];

/** The length of `kdf-salt` in bytes. */
export const SALT_LENGTH = 32;
/** The length in bytes of the key from which all other keys of a series are derived. */
export const SERIES_KEY_LENGTH = 64;

/** The most chunks that a volume may have, so that what is kept for each of them fits into memory. */
export const MOST_CHUNKS = 2 ** 23;
/** The most chunks in a part. */
export const MOST_CHUNKS_IN_PART = 32;
/** The length in bytes of the text before the chunks of a part, which says what they are. */
export const PART_TEXT_LENGTH = 4 * KiB;

const LEAST_GRAIN = 64 * KiB;
const GREATEST_GRAIN = 16 * MiB;
const DEFAULT_GRAIN = 128 * KiB;
const DEFAULT_PART_SIZE = 4 * MiB;
/** A whole part is held in memory until its MAC has been verified, hence the upper bound. */
const GREATEST_PART_SIZE = 64 * MiB;

/** How the volumes of a backup are cut up. */
export interface Cut {
  /** The size of a chunk in bytes, a power of two. Volumes are compared chunk by chunk. */
  readonly grain: number;
  /** The most bytes of chunks in a part: a multiple of the grain. */
  readonly partSize: number;
}

/**
 * The kinds of files in a series: a backup; data that a backup stored before it was complete, so that an interruption
 * does not lose it; or a pack of parts that were kept when other files were deleted.
 */
export const FILE_KINDS = ['backup', 'data', 'pack'] as const;
export type FileKind = (typeof FILE_KINDS)[number];

/** The header of a file of a coffer-1 series: docs/archive-format.md. */
export interface Coffer1Header extends Header, Cut {
  readonly format: 'coffer-1';
  /** 128 random bits in hex, different for each file. */
  readonly backupId: string;
  /** 128 random bits in hex, the same for all files under one series key. */
  readonly seriesId: string;
  readonly kind: FileKind;
  /**
   * Whether it is a backup that has each volume in one piece and in order, so that it can be restored from a stream.
   */
  readonly streamable: boolean;
  readonly compressionFilter: Coffer1Filter | undefined;
  readonly kdf: ScryptCost;
  readonly kdfSalt: Buffer;
  /** The series key, encrypted under the passphrase, and the MAC over that: `series-key.ts`. */
  readonly wrappedKey: Buffer;
  readonly wrappedKeyMac: Buffer;
}

/**
 * How to cut volumes of up to `largestVolume` bytes: into chunks of 128 KiB up to 1 TiB, of 256 KiB up to 2 TiB, and so
 * on.
 *
 * @param leastGrain the grain of earlier files, whose chunks can only be referred to if the new file has the same
 */
export function cutFor(largestVolume: number, leastGrain = DEFAULT_GRAIN): Cut {
  let grain = leastGrain;
  while (largestVolume > grain * MOST_CHUNKS) grain *= 2;
  if (grain > GREATEST_GRAIN) {
    throw new RangeError(`no volume of ${largestVolume / TiB} TiB can be backed up`);
  }
  return { grain, partSize: Math.max(grain, DEFAULT_PART_SIZE) };
}

/**
 * The largest stored size in bytes of any member except the manifest: the plaintext of a part, and what a compressor
 * adds to data that does not compress.
 */
export function mostStored({ partSize }: Cut): number {
  return partSize + PART_TEXT_LENGTH + partSize / 128 + 4 * KiB;
}

/** The bytes of the member `backup-header`: a line `key=value` for each entry, in this order. */
export function formatHeader(header: Coffer1Header): Buffer {
  const entries: [string, string | number][] = [
    ['format', 'coffer-1'],
    ['backup-id', header.backupId],
    ['series-id', header.seriesId],
    ['kind', header.kind],
    ['streamable', header.streamable ? 'True' : 'False'],
    ['encrypted', header.encrypted ? 'True' : 'False'],
    ['compression-filter', header.compressionFilter ?? 'none'],
    ['crypto-algorithm', 'aes-256-ctr'],
    ['hmac-algorithm', 'sha512'],
    ['kdf', 'scrypt'],
    ['kdf-n', header.kdf.n],
    ['kdf-r', header.kdf.r],
    ['kdf-p', header.kdf.p],
    ['kdf-salt', header.kdfSalt.toString('hex')],
    ['series-key', header.wrappedKey.toString('hex')],
    ['series-key-mac', header.wrappedKeyMac.toString('hex')],
    ['grain', header.grain],
    ['part-size', header.partSize],
  ];
  return Buffer.from(entries.map(([key, value]) => `${key}=${value}\n`).join(''));
}

/**
 * Parses the header of a coffer-1 file. The caller checks that it is exactly as `formatHeader` writes it, so that there
 * is only one form of each header. It is hostile until its MAC has been verified, which takes a key derivation: so the
 * cost of that is bounded here. Throws DamagedError.
 */
export function parseHeader(untrustedFields: ReadonlyMap<string, string>): Coffer1Header {
  const fields = new HeaderFields(untrustedFields);
  fields.text('format', /^coffer-1$/);
  fields.text('crypto-algorithm', /^aes-256-ctr$/);
  fields.text('hmac-algorithm', /^sha512$/);
  fields.text('kdf', /^scrypt$/);
  const filter = fields.text('compression-filter', /^(zstd|gzip|none)$/);
  const grain = fields.powerOfTwo('grain', LEAST_GRAIN, GREATEST_GRAIN);
  const mostInPart = Math.min(GREATEST_PART_SIZE, grain * MOST_CHUNKS_IN_PART);
  const partSize = fields.number('part-size', grain, mostInPart);
  if (partSize % grain !== 0) {
    throw new DamagedError(
      'the header of the backup has a part-size that is not a multiple of its grain',
    );
  }
  const kind = FILE_KINDS.find((each) => each === fields.text('kind', /^(backup|data|pack)$/));
  const streamable = fields.flag('streamable');
  if (kind === undefined || (streamable && kind !== 'backup')) {
    throw new DamagedError('the header of the backup says that a file without a backup is one');
  }
  return {
    format: 'coffer-1',
    kind,
    backupId: fields.text('backup-id', /^[0-9a-f]{32}$/),
    seriesId: fields.text('series-id', /^[0-9a-f]{32}$/),
    streamable,
    encrypted: fields.flag('encrypted'),
    compressionFilter: COFFER1_FILTERS.find((each) => each === filter),
    kdf: {
      n: fields.powerOfTwo('kdf-n', 2 ** LEAST_COST_LOG2N, 2 ** GREATEST_COST_LOG2N),
      r: fields.number('kdf-r', 8, 8),
      p: fields.number('kdf-p', 1, 1),
    },
    kdfSalt: fields.bytes('kdf-salt', SALT_LENGTH),
    wrappedKey: fields.bytes('series-key', SERIES_KEY_LENGTH),
    wrappedKeyMac: fields.bytes('series-key-mac', 64),
    grain,
    partSize,
  };
}

/** Reads values from a header that is not authenticated yet. Throws DamagedError for an invalid one. */
class HeaderFields {
  readonly #untrusted: ReadonlyMap<string, string>;

  constructor(untrustedFields: ReadonlyMap<string, string>) {
    this.#untrusted = untrustedFields;
  }

  text(key: string, pattern: RegExp): string {
    const untrustedValue = this.#untrusted.get(key) ?? '';
    if (!pattern.test(untrustedValue)) {
      throw new DamagedError(`the header of the backup has no valid ${key}`);
    }
    return untrustedValue;
  }

  flag(key: string): boolean {
    return this.text(key, /^(True|False)$/) === 'True';
  }

  bytes(key: string, length: number): Buffer {
    return Buffer.from(this.text(key, new RegExp(`^[0-9a-f]{${2 * length}}$`)), 'hex');
  }

  number(key: string, least: number, greatest: number): number {
    const value = Number(this.text(key, /^[1-9][0-9]{0,9}$/));
    if (value < least || value > greatest) {
      throw new DamagedError(`the header of the backup asks for a ${key} that is out of bounds`);
    }
    return value;
  }

  powerOfTwo(key: string, least: number, greatest: number): number {
    const value = this.number(key, least, greatest);
    if (Number.isInteger(Math.log2(value))) return value;
    throw new DamagedError(`the header of the backup has a ${key} that is not a power of two`);
  }
}
