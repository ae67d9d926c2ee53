import type { ByteSink } from '../../shared/byte-streams.ts';
import { messageOf } from '../../shared/errors.ts';
import { scryptCost } from '../archive/scrypt-cost.ts';
import { notesOfChanges } from '../backup/changed-qubes.ts';
import { FORMAT_DEFAULTS } from '../backup/backup-formats.ts';
import type { MeasuredPlan } from '../backup/plan-home.ts';
import type { KeptData } from '../backup/keep-data.ts';
import { keysOfAll } from '../backup/volume-identity.ts';
import { type BackupMade, type BackupOptions, writeBackup } from '../backup/run-backup.ts';
import type { SeriesBackup } from '../backup/series-backup.ts';
import type { Sink, StoredArchive } from '../transport/storage.ts';
import type { BackupFlags } from './backup-options.ts';
import { goesIntoSeries } from './backup-series.ts';
import { sharesOf } from './backup-events.ts';
import { ConfirmedData } from './confirmed-data.ts';
import { describeKept, describeLeft, keepSent } from './keep-sent.ts';
import type { Qube } from '../qubes/qube.ts';
import type { ChangeTracking } from '../qubes/changes/volume-changes.ts';
import type { KnownChanges } from '../backup/volume-source.ts';
import { rollBackIfKilled } from './roll-back.ts';
import { describingInterrupt } from './signals.ts';
import { type BackupContext, type Proposal, compressorOf } from './propose-backup.ts';

/** What has changed since the last backup, and the notes on that for the next one. */
export interface ChangesSince extends KnownChanges, AsyncDisposable {
  readonly tracking: ChangeTracking;
}

/** A backup that has been stored. */
export interface Sent extends BackupMade {
  readonly stored: StoredArchive;
  /** Where it has kept what was sent; undefined if it kept nothing. */
  readonly kept: KeptData | undefined;
  /** With the files that were kept. Undefined for the official format. */
  readonly series: SeriesBackup | undefined;
}

/** What is needed to write a backup, besides its plan. */
export interface WritingOptions {
  readonly passphrase: Buffer;
  /** Undefined for the official format. */
  readonly series: SeriesBackup | undefined;
  readonly created: Date;
  readonly changes: ChangesSince | undefined;
  /** Whether it continues from earlier backups. */
  readonly goesOn: boolean;
}

/**
 * What changed since the backups that this one continues from; undefined if it goes into no series.
 *
 * @param qubes all VMs of the system
 */
export async function changesSince(
  series: SeriesBackup | undefined,
  qubes: readonly Qube[],
  { request: { flags }, opened, report }: BackupContext,
): Promise<ChangesSince | undefined> {
  if (series === undefined || !goesIntoSeries(flags)) return undefined;
  const { earlier, backupId } = series.file;
  const { seriesId } = series.file.series;
  let tracking: ChangeTracking;
  if (earlier !== undefined) report.phase('detect');
  try {
    tracking = await opened.system.trackChanges({
      ...{ directory: notesOfChanges(opened.seriesDirectory, seriesId), series: seriesId },
      ...{ backup: backupId, existing: keysOfAll(qubes), warn: (text) => report.warning(text) },
    });
  } catch (error) {
    // If it is unknown what has changed, the backup takes longer, but need not fail.
    report.warning(`everything is read, whether it has changed or not: ${messageOf(error)}`);
    return undefined;
  }
  return {
    tracking,
    since: (origin) => (earlier === undefined ? undefined : series.state?.maps.get(origin)),
    [Symbol.asyncDispose]: () => tracking[Symbol.asyncDispose](),
  };
}

/** Writes the backup to `target`, until all of it is stored. */
export async function send(
  target: Sink,
  proposal: Proposal,
  writing: WritingOptions,
  context: BackupContext,
): Promise<Sent> {
  const { request, report, signal } = context;
  const { series, created, goesOn } = writing;
  const data = new ConfirmedData(() => report.read);
  const counted = (each: Sink): ByteSink => data.counted(each);
  const kept = series && keepSent(series, proposal, target, created, counted, context);
  report.startProgress(goesOn ? 'detect' : 'look', sharesOf(proposal.plan), () => data.now);
  const made = await describingInterrupt(
    tellingKept(writeTo(counted(target), proposal.plan, writing, kept, context), kept, context),
    signal,
    () => describeUnfinished(request.flags, kept),
  );
  report.phase('sync');
  const stored = await describingInterrupt(
    tellingKept(target.finish(), kept, context),
    signal,
    () => `the backup may nevertheless be stored in ${target.location}`,
  );
  report.endProgress();
  return { ...made, stored, kept, series: kept?.series ?? series };
}

/** For people: what a backup that was interrupted has left. */
export function describeUnfinished({ command, through }: BackupFlags, kept?: KeptData): string {
  if (command === true) return 'what the command had written by then is still there';
  const more = through === undefined ? '' : '; the command may have left an unfinished file';
  return describeLeft(kept) + more;
}

/** Runs `work`. If it fails, tells the user what is kept; after an interruption, the error itself says so. */
async function tellingKept<T>(
  work: Promise<T>,
  kept: KeptData | undefined,
  { report, signal }: BackupContext,
): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const isLeft = kept !== undefined && kept.files.length > 0;
    if (isLeft && !signal.aborted) report.warning(describeKept(kept));
    throw error;
  }
}

async function writeTo(
  output: ByteSink,
  plan: MeasuredPlan,
  { passphrase, series, created, changes }: WritingOptions,
  ahead: KeptData | undefined,
  { request: { flags }, opened, report, signal }: BackupContext,
): Promise<BackupMade> {
  const options: BackupOptions =
    series === undefined
      ? {
          ...{ format: 'qubes-4', passphrase, created, compressionFilter: compressorOf(flags) },
          kdf: scryptCost(flags.kdfCost ?? FORMAT_DEFAULTS['qubes-4'].kdfCost),
        }
      : {
          ...{ format: 'coffer-1', created, file: series.file, cut: series.cut, changes, ahead },
          ...series.settings,
        };
  const cleanup = await rollBackIfKilled(flags.system);
  try {
    return await writeBackup(plan, opened.system, output, options, report, signal);
  } finally {
    cleanup.cancel();
    passphrase.fill(0);
  }
}
