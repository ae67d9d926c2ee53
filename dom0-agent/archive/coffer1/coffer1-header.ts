import { DamagedError } from '../../../shared/errors.ts';
import { KiB, MiB } from '../../../shared/sizes.ts';
import type { Header } from '../archive.ts';
import { GREATEST_COST_LOG2N, LEAST_COST_LOG2N, type ScryptCost } from './scrypt-cost.ts';

export const DEFAULT_PART_SIZE = 16 * MiB;
/** A part is buffered whole until it is authenticated, hence the upper bound. */
const LEAST_PART_SIZE = 4 * KiB;
const GREATEST_PART_SIZE = 64 * MiB;
/** The bytes of `kdf-salt`; `backup-id` has 16. */
export const SALT_LENGTH = 32;

/** The header of a coffer-1 archive. */
export interface Coffer1Header extends Header {
  readonly format: 'coffer-1';
  /** 128 random bits in hex. */
  readonly backupId: string;
  readonly kdf: ScryptCost;
  readonly kdfSalt: Buffer;
  /** The most bytes that a part of a file has before it is sealed. */
  readonly partSize: number;
}

/** The bytes of the member `backup-header`: a line `key=value` for each entry, in this order. */
export function formatHeader(header: Coffer1Header): Buffer {
  const entries = [
    ['format', 'coffer-1'],
    ['backup-id', header.backupId],
    ['encrypted', header.encrypted ? 'True' : 'False'],
    ['compressed', header.compressionFilter === undefined ? 'False' : 'True'],
    ['compression-filter', header.compressionFilter ?? 'none'],
    ['crypto-algorithm', 'aes-256-ctr'],
    ['hmac-algorithm', 'sha512'],
    ['kdf', 'scrypt'],
    ['kdf-n', header.kdf.n],
    ['kdf-r', header.kdf.r],
    ['kdf-p', header.kdf.p],
    ['kdf-salt', header.kdfSalt.toString('hex')],
    ['part-size', header.partSize],
  ];
  return Buffer.from(entries.map(([key, value]) => `${key ?? ''}=${value ?? ''}\n`).join(''));
}

/**
 * Parses the header of a coffer-1 archive. The caller checks that it is exactly what `formatHeader` makes of
 * it, so that there is one way to write each header. The text is hostile until it is authenticated, which
 * requires a key derivation first: its cost is bounded here. Throws DamagedError.
 */
export function parseHeader(untrustedFields: ReadonlyMap<string, string>): Coffer1Header {
  const field = (key: string, pattern: RegExp): string => {
    const untrustedValue = untrustedFields.get(key) ?? '';
    if (!pattern.test(untrustedValue)) {
      throw new DamagedError(`the header of the backup has no valid ${key}`);
    }
    return untrustedValue;
  };
  const number = (key: string, least: number, greatest: number): number => {
    const value = Number(field(key, /^[1-9][0-9]{0,9}$/));
    if (value < least || value > greatest) {
      throw new DamagedError(`the header of the backup asks for a ${key} that is out of bounds`);
    }
    return value;
  };
  field('format', /^coffer-1$/);
  field('crypto-algorithm', /^aes-256-ctr$/);
  field('hmac-algorithm', /^sha512$/);
  field('kdf', /^scrypt$/);
  const compressed = field('compressed', /^(True|False)$/) === 'True';
  const compressionFilter = field('compression-filter', compressed ? /^[a-z0-9]{1,16}$/ : /^none$/);
  const n = number('kdf-n', 2 ** LEAST_COST_LOG2N, 2 ** GREATEST_COST_LOG2N);
  if (!Number.isInteger(Math.log2(n))) {
    throw new DamagedError('the header of the backup has a kdf-n that is not a power of two');
  }
  return {
    format: 'coffer-1',
    backupId: field('backup-id', /^[0-9a-f]{32}$/),
    encrypted: field('encrypted', /^(True|False)$/) === 'True',
    compressionFilter: compressed ? compressionFilter : undefined,
    kdf: { n, r: number('kdf-r', 8, 8), p: number('kdf-p', 1, 1) },
    kdfSalt: Buffer.from(field('kdf-salt', new RegExp(`^[0-9a-f]{${2 * SALT_LENGTH}}$`)), 'hex'),
    partSize: number('part-size', LEAST_PART_SIZE, GREATEST_PART_SIZE),
  };
}
