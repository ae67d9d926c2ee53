import type { ByteSink } from '../../shared/byte-streams.ts';
import { messageOf } from '../../shared/errors.ts';
import type { Report } from '../../shared/report.ts';
import type { ScryptCost } from '../archive/scrypt-cost.ts';
import type { Coffer1Filter, Cut } from '../archive/coffer1/coffer1-header.ts';
import type { DataTarget } from '../archive/coffer1/data-files.ts';
import type { NextFile } from '../archive/coffer1/series.ts';
import { type WrittenFile, writeCoffer1 } from '../archive/coffer1/write-coffer1.ts';
import { QUBES4_PART_SIZE, writeQubes4 } from '../archive/qubes4/write-qubes4.ts';
import type { CompressionFilter } from '../archive/compress/compression.ts';
import { tarred } from '../archive/tar/tarred.ts';
import { type QubesSystem } from '../qubes/system.ts';
import { coffer1Layout, qubes4Layout } from './backup-formats.ts';
import type { MeasuredPlan } from './plan-home.ts';
import { type KnownChanges } from './volume-source.ts';
import type { BackupPlan } from './plan-backup.ts';
import type { Dedup } from './series-state.ts';
import { type BackedUp, BackupFiles } from './backup-files.ts';

interface CommonOptions {
  /** When the backup was started: authenticated, and shown before a restore. */
  readonly created: Date;
}

export interface Qubes4BackupOptions extends CommonOptions {
  readonly format: 'qubes-4';
  /** Wiped as soon as it is no longer needed. */
  readonly passphrase: Buffer;
  readonly compressionFilter: CompressionFilter | undefined;
  readonly kdf: ScryptCost;
}

export interface Coffer1BackupOptions extends CommonOptions {
  readonly format: 'coffer-1';
  readonly file: NextFile;
  readonly encrypted: boolean;
  readonly compressionFilter: Coffer1Filter | undefined;
  readonly dedup: Dedup;
  readonly cut: Cut;
  /** Where data is stored ahead of the backup, so that it need not be sent again if the backup is interrupted. */
  readonly ahead?: DataTarget | undefined;
  /** Undefined: everything is read. */
  readonly changes?: KnownChanges | undefined;
}

export type BackupOptions = Qubes4BackupOptions | Coffer1BackupOptions;

/** The result of a backup. */
export interface BackupMade {
  readonly backedUp: readonly BackedUp[];
  /** Only for the format coffer-1. */
  readonly written: WrittenFile | undefined;
  /** The origins of the volumes of VMs that are incomplete in it. */
  readonly broken: ReadonlySet<string>;
}

/**
 * Writes the archive of everything in the plan to `output`: holds all volumes, then reads each once and in order. If
 * a volume cannot be read, or changed while it was read, its VM has failed: the archive says so, and contains the
 * others. Throws FailedError, naming the volume, if the format cannot say so, or if all VMs have failed: the archive
 * is then unfinished and must be discarded.
 */
export async function writeBackup(
  plan: MeasuredPlan,
  system: QubesSystem,
  output: ByteSink,
  options: BackupOptions,
  report: Report,
  signal: AbortSignal,
): Promise<BackupMade> {
  const { created } = options;
  if (options.format === 'qubes-4') {
    const layout = qubes4Layout(plan.dom0Home, options.compressionFilter !== undefined);
    const reading = { system, changes: undefined };
    await using files = await BackupFiles.open(plan, layout, 'domain', reading, report, signal);
    report.phase('send');
    const archived = tarred(files.all(created));
    await writeQubes4(archived, output, { ...options, partSize: QUBES4_PART_SIZE }, signal);
    return { backedUp: files.backedUp, written: undefined, broken: files.broken() };
  }
  const { dedup } = options;
  const layout = coffer1Layout(plan.dom0Home);
  const reading = { system, changes: options.changes };
  await using files = await BackupFiles.open(plan, layout, dedup, reading, report, signal);
  report.phase('send');
  const all = { ...options, ...options.file };
  const written = await writeCoffer1(files.all(created), output, all, signal);
  return { backedUp: files.backedUp, written, broken: files.broken() };
}

/** Records the time of the backup on each VM that is complete in it, as the official tools do. */
export async function noteBackupTime(
  plan: BackupPlan,
  backedUp: readonly BackedUp[],
  system: QubesSystem,
  created: Date,
  report: Report,
): Promise<void> {
  const unixTime = Math.floor(created.getTime() / 1000);
  const failed = new Set(backedUp.flatMap(({ name, failure }) => (failure ? [name] : [])));
  const names = plan.qubes.map(({ qube }) => qube.name).filter((name) => !failed.has(name));
  for (const [name, error] of await system.setBackupTimestamps(names, unixTime)) {
    report.warning(`the time of the backup was not recorded on ${name}: ${messageOf(error)}`);
  }
}
