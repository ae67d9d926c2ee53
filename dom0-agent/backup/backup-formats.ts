import { KiB, MiB } from '../../shared/sizes.ts';
import { COMPRESSION_FILTERS, type CompressionFilter } from '../archive/compress/compression.ts';
import { COFFER1_FILTERS } from '../archive/coffer1/coffer1-header.ts';
import { DEFAULT_COST_LOG2N } from '../archive/scrypt-cost.ts';
import type { Volume } from '../qubes/qube.ts';
import type { MeasuredHome } from './plan-home.ts';
import { expectedBytes, type PlannedQube } from './plan-backup.ts';

/** Where the files of a backup are in the archive and what qubes.xml says about their size, by format. */
export interface ArchiveLayout {
  /** The path of dom0's home. */
  readonly homePath: string;
  /** In bytes, as stated in qubes.xml. */
  readonly homeSize: number;
  /** The size of a VM in bytes, as stated in qubes.xml. */
  qubeSize(planned: Pick<PlannedQube, 'volumes' | 'running'>): number;
  /** Whether the small files of all VMs come before the volumes, rather than VM by VM. */
  readonly settingsFirst: boolean;
  /** Whether readers of the format know INCOMPLETE: the official one would restore such a VM as if it were complete. */
  readonly tellsIncomplete: boolean;
}

/** The layout of coffer-1: paths do not show the name of dom0's user; sizes are estimates for tables and progress. */
export function coffer1Layout(home: MeasuredHome | undefined): ArchiveLayout {
  return {
    homePath: 'dom0-home/home',
    homeSize: home?.size.expected ?? 0,
    qubeSize: ({ volumes }) => volumes.reduce((sum, volume) => sum + expectedBytes(volume), 0),
    settingsFirst: true,
    tellsIncomplete: true,
  };
}

/** For settings, maps of holes, keys and MACs, and the directories, which the official reader counts too. */
const SMALL_FILES = 1 * MiB;

/**
 * The layout that the official tools need. They stop a restore when the data exceeds the sizes in qubes.xml
 * (`_restore_vm_data` of their restore.py; UPDATES_MAX_BYTES of qfile-dom0-unpacker counts stored bytes), so the
 * sizes are upper bounds.
 */
export function qubes4Layout(home: MeasuredHome | undefined, compressed: boolean): ArchiveLayout {
  return {
    homePath: `dom0-home/${home?.user ?? 'user'}`,
    homeSize: home === undefined ? 0 : withOverhead(home.size.most) + SMALL_FILES,
    qubeSize: ({ volumes, running }) =>
      volumes.reduce(
        (sum, volume) => sum + mostStored(volume, compressed && !running),
        SMALL_FILES,
      ),
    settingsFirst: false,
    tellsIncomplete: false,
  };
}

/**
 * The most bytes that a volume can take in the archive. The usage that a pool reports can be rounded, or measured after
 * the pool's own compression: only a compressed volume is sure to be near it. That of a running VM is not, since the
 * pool may report the current usage, not that of the saved state.
 */
function mostStored(volume: Volume, isNearUsage: boolean): number {
  const expected = expectedBytes(volume);
  const roundedUp = expected + Math.ceil(expected / 8) + Math.ceil(volume.size / 256);
  return withOverhead(isNearUsage ? Math.min(volume.size, roundedUp) : volume.size);
}

/** A size in bytes with what tar's map of holes, incompressible data and encryption may add. */
function withOverhead(bytes: number): number {
  return bytes + Math.ceil(bytes / 256) + 64 * KiB;
}

/** The formats that coffer writes: docs/formats.md compares them. */
export const BACKUP_FORMATS = ['coffer-1', 'qubes-4'] as const;
export type BackupFormat = (typeof BACKUP_FORMATS)[number];

/** The defaults for a backup. */
interface FormatDefaults {
  readonly compressFilter: CompressionFilter;
  /** log2 N of scrypt. */
  readonly kdfCost: number;
}

export const FORMAT_DEFAULTS: Readonly<Record<BackupFormat, FormatDefaults>> = {
  'coffer-1': { compressFilter: 'zstd', kdfCost: DEFAULT_COST_LOG2N },
  // Every dom0 has gzip. The cost is low because a key is derived for every part and small file, not once: with
  // N = 2^17, the least that OWASP recommends for r = 8 and p = 1, each takes 128 MiB and about half a second.
  'qubes-4': { compressFilter: 'gzip', kdfCost: 17 },
};

/** The filters that a backup of each format may be compressed with. */
export const FORMAT_FILTERS: Readonly<Record<BackupFormat, readonly CompressionFilter[]>> = {
  'coffer-1': COFFER1_FILTERS,
  'qubes-4': COMPRESSION_FILTERS,
};
