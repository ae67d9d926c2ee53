import { type Command, InvalidArgumentError, Option } from 'commander';
import { GREATEST_COST_LOG2N, LEAST_COST_LOG2N } from '../archive/scrypt-cost.ts';
import { COMPRESSION_FILTERS, type CompressionFilter } from '../archive/compress/compression.ts';
import {
  BACKUP_FORMATS,
  type BackupFormat,
  FORMAT_DEFAULTS,
  FORMAT_FILTERS,
} from '../backup/backup-formats.ts';
import { RUNNING_CHOICES, type RunningChoice } from '../backup/plan-backup.ts';
import { addHabitsOfBackup } from './habits.ts';
import { DEDUP_CHOICES, type Dedup } from '../backup/series-state.ts';
import {
  type ArchiveFlags,
  NAMES_OF_VMS,
  addArchiveOptions,
  addExclude,
  collect,
} from './archive-options.ts';

/** The options of `coffer backup`, as commander returns them. */
export interface BackupFlags extends ArchiveFlags {
  readonly exclude?: readonly string[];
  /** By default, `include`. */
  readonly running?: RunningChoice;
  readonly format: BackupFormat;
  readonly encrypt: boolean;
  /** Default: see `FORMAT_DEFAULTS`. */
  readonly compressFilter?: CompressionFilter | 'none';
  /** Log2 of scrypt's N. Default: see `FORMAT_DEFAULTS`. */
  readonly kdfCost?: number;
  /** Files and directories of dom0's configuration. */
  readonly dom0Path?: readonly string[];
  /** A backup that needs no other file. */
  readonly full?: true;
  readonly newSeries?: true;
  readonly dedup?: Dedup;
  /** Whether to read back what was stored. */
  readonly check: boolean;
  readonly withRecovery?: true;
  readonly profile?: string;
  readonly saveProfile?: string;
  /** The VM that is asked for the passphrase, by qubes.BackupPassphrase. */
  readonly passphraseVm?: string;
  readonly yes?: true;
}

/** Whether LOCATION is a path in dom0's file system. */
export function isPathInDom0({ destVm = 'dom0', command, through }: Partial<BackupFlags>): boolean {
  return destVm === 'dom0' && command !== true && through === undefined;
}

/** Adds the arguments and options of `coffer backup`, for the command line and for profiles. */
export function addBackupOptions(command: Command): Command {
  return addHabitsOfBackup(addExclude(addArchiveOptions(command)))
    .argument('[LOCATION]', 'a directory; with --command, a shell command that reads the backup')
    .argument('[VM...]', `the VMs to back up: ${NAMES_OF_VMS}`)
    .addOption(
      new Option(
        '--running <WHAT>',
        'what to do about running VMs: include their last saved state (the default), skip them, or refuse the backup',
      ).choices(RUNNING_CHOICES),
    )
    .addOption(
      new Option('--format <FORMAT>', "coffer's own format, or that of the official tools")
        .choices(BACKUP_FORMATS)
        .default('coffer-1'),
    )
    .option('--no-encrypt', 'only authenticate the backup, do not encrypt it (coffer-1 only)')
    .addOption(
      new Option(
        '-Z, --compress-filter <FILTER>',
        `the program that compresses; by default ${byFormat('compressFilter')}; coffer-1 supports ` +
          FORMAT_FILTERS['coffer-1'].join(' and '),
      ).choices([...COMPRESSION_FILTERS, 'none']),
    )
    .option(
      '--kdf-cost <LOG2N>',
      `cost of guessing the passphrase: ${LEAST_COST_LOG2N} to ${GREATEST_COST_LOG2N}, each step doubles ` +
        `it; by default ${byFormat('kdfCost')}`,
      parseCost,
    )
    .option(
      '--dom0-path <PATH>',
      'also back up this file or directory of dom0, such as /etc/qubes (can be repeated)',
      collect,
    )
    .option('--full', 'store everything, so that this backup needs no earlier file')
    .option(
      '--new-series',
      'begin a new series, with another key, next to the backups that are there',
    )
    .addOption(
      new Option(
        '--dedup <WITHIN>',
        'store equal data once within a volume and among templates and standalones (domain, the default), or in all volumes (all): ' +
          'the size of a backup may then tell a VM what another VM contains',
      ).choices(DEDUP_CHOICES),
    )
    .option('--no-check', 'do not read back and authenticate what was stored')
    .option('--with-recovery', 'store recover.sh and its instructions next to the backup')
    .addOption(
      new Option(
        '--passphrase-vm <VM>',
        'get the passphrase from the service qubes.BackupPassphrase of this VM',
      ).conflicts('passphraseFile'),
    )
    .option('--profile <NAME>', 'take LOCATION, VMs and options from a profile: see coffer(1)')
    .option('--save-profile <NEW>', 'save these settings as a new profile, for the next time')
    .option('-y, --yes', 'do not ask for confirmation');
}

/** The default in each format: `zstd (coffer-1) or gzip (qubes-4)`. */
function byFormat(option: 'compressFilter' | 'kdfCost'): string {
  return BACKUP_FORMATS.map((format) => `${FORMAT_DEFAULTS[format][option]} (${format})`).join(
    ' or ',
  );
}

function parseCost(value: string): number {
  const cost = /^\d{1,3}$/.test(value) ? Number(value) : NaN;
  if (cost >= LEAST_COST_LOG2N && cost <= GREATEST_COST_LOG2N) return cost;
  throw new InvalidArgumentError(
    `It must be a whole number from ${LEAST_COST_LOG2N} to ${GREATEST_COST_LOG2N}`,
  );
}
