import { DEFAULT_COST_LOG2N } from '../archive/coffer1/scrypt-cost.ts';
import type { CompressionFilter } from '../archive/compress/compression.ts';

/** The formats that coffer writes: docs/formats.md compares them. */
export const BACKUP_FORMATS = ['coffer-1', 'qubes-4'] as const;
export type BackupFormat = (typeof BACKUP_FORMATS)[number];

/** What a backup is made with when nothing else is asked for. */
interface FormatDefaults {
  readonly compressFilter: CompressionFilter;
  /** log2 N of scrypt. */
  readonly kdfCost: number;
}

export const FORMAT_DEFAULTS: Readonly<Record<BackupFormat, FormatDefaults>> = {
  'coffer-1': { compressFilter: 'zstd', kdfCost: DEFAULT_COST_LOG2N },
  // Every dom0 has gzip. And a key is derived for every part and small file, not once: with N = 2^17, the
  // least that OWASP recommends for r = 8 and p = 1, each takes 128 MiB and about half a second.
  'qubes-4': { compressFilter: 'gzip', kdfCost: 17 },
};
