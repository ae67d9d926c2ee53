import type { ChangeTracking } from '../qubes/changes/volume-changes.ts';
import type { ByteSink } from '../../shared/byte-streams.ts';
import { InterruptedError, messageOf } from '../../shared/errors.ts';
import { scryptCost } from '../archive/scrypt-cost.ts';
import type { BackupCheck } from '../backup/backup-record.ts';
import { notesOfChanges } from '../backup/changed-qubes.ts';
import { whyItMayNotFit } from '../backup/backup-space.ts';
import { FORMAT_DEFAULTS } from '../backup/backup-formats.ts';
import type { MeasuredPlan } from '../backup/plan-home.ts';
import type { KeptData, KeptFile } from '../backup/keep-data.ts';
import { type BegunFile, openNewFile } from '../backup/new-backup-file.ts';
import { noteBackup } from '../backup/note-backup.ts';
import { storeRecoveryKit } from '../backup/recovery-kit.ts';
import type { BackedUp } from '../backup/backup-files.ts';
import {
  type BackupMade,
  type BackupOptions,
  noteBackupTime,
  writeBackup,
} from '../backup/run-backup.ts';
import { seriesCard } from '../backup/series-card.ts';
import { type SeriesBackup, noteInSeries } from '../backup/series-backup.ts';
import type { WrittenFile } from '../archive/coffer1/write-coffer1.ts';
import type { Sink, StoredArchive } from '../transport/storage.ts';
import { goesIntoSeries, openSeriesFor } from './backup-series.ts';
import type { PlannedRequest } from './plan-request.ts';
import { sharesOf } from './backup-events.ts';
import type { CommandReport } from './command-report.ts';
import { type StoredCheck, checkStored, describeUnread } from './check-stored.ts';
import { ConfirmedData } from './confirmed-data.ts';
import { isLong } from './data-limits.ts';
import { orForgottenDirectory } from './destination.ts';
import { describeKept, describeLeft, keepSent, uncheckedData } from './keep-sent.ts';
import { confirm } from './questions.ts';
import type { KnownChanges } from '../backup/volume-source.ts';
import { rollBackIfKilled } from './roll-back.ts';
import { describingInterrupt } from './signals.ts';
import { type BackupContext, type Proposal, storeOf, compressorOf } from './propose-backup.ts';

/** A backup that was made. */
export interface Made {
  readonly written: WrittenFile | undefined;
  /** Whether it continues from earlier backups. */
  readonly goesOn: boolean;
  readonly backedUp: readonly BackedUp[];
  readonly stored: StoredArchive;
  /** The files of data that were stored before its own file. */
  readonly data: readonly KeptFile[];
  readonly kit: readonly StoredArchive[];
  readonly check: StoredCheck;
  /** A line for the user to keep; undefined for a backup that goes into no series. */
  readonly card: string | undefined;
  readonly created: Date;
  readonly seconds: number;
}

/** Opens the series and the file, writes the backup, reads it back, and records it. */
export async function makeBackup(
  selection: PlannedRequest,
  proposal: Proposal,
  passphrase: Buffer,
  context: BackupContext,
): Promise<Made> {
  const { request, opened, report, signal } = context;
  const { location, flags } = request;
  const { plan, estimate, storage } = proposal;
  const created = new Date();
  const series =
    flags.format === 'coffer-1'
      ? await openSeriesFor({ ...proposal, isLong: isLong(proposal, flags) }, passphrase, {
          ...{ store: storeOf(context), flags, report, signal },
          openFiles: () => storage.openFiles(location, signal),
        })
      : undefined;
  const goesOn = series?.state !== undefined && flags.full !== true;
  const describeUnfinished = (kept?: KeptData): string =>
    flags.command === true
      ? 'what the command had written by then is still there'
      : describeLeft(kept) +
        (flags.through === undefined ? '' : '; the command may have left an unfinished file');
  const { sink, fileName } = await describingInterrupt(
    openTarget(selection, proposal, { created, goesOn }, context),
    signal,
    () => describeUnfinished(),
  );
  await using target = sink;
  if (!goesOn && proposal.destination.space.freeBytes === undefined) {
    const doubt = whyItMayNotFit(estimate, target, isLong(proposal, flags));
    if (doubt !== undefined) report.warning(doubt);
    if (doubt !== undefined && flags.yes !== true) await confirm('Back up anyway?', signal);
  }
  await using changes = await changesSince(series, context);
  const begun = Date.now();
  const data = new ConfirmedData(() => report.read);
  const counted = (each: Sink): ByteSink => data.counted(each);
  const kept = series && keepSent(series, proposal, target, created, counted, context);
  report.startProgress(goesOn ? 'detect' : 'look', sharesOf(plan), () => data.now);
  const writing = { passphrase, series, created, changes, ahead: kept };
  const { backedUp, written, broken } = await describingInterrupt(
    tellingKept(writeTo(counted(target), plan, writing, context), kept, context),
    signal,
    () => describeUnfinished(kept),
  );
  report.phase('sync');
  const stored = await describingInterrupt(
    tellingKept(target.finish(), kept, context),
    signal,
    () => `the backup may nevertheless be stored in ${target.location}`,
  );
  report.endProgress();
  const noted = kept?.series ?? series;
  const key = series?.file.series.key;
  const file = { fileName, stored, written: written && key && { key, name: written.name } };
  const unchecked =
    written && noted ? uncheckedData(noted, written.needs, proposal.destination.location) : [];
  const check = await checkStored(storage, [file, ...unchecked], context);
  if (noted !== undefined && written !== undefined && goesIntoSeries(flags)) {
    const { bytes } = stored;
    const effort = {
      seconds: Math.max(1, Math.round((Date.now() - begun) / 1000)),
      read: backedUp.reduce((sum, { used }) => sum + used, 0),
      new: written.newChunks * written.grain,
    };
    const ofFile = check.checks.get(written.name.backupId);
    const made = { fileName, bytes, made: created, check: ofFile, effort };
    await noteForNext(async () => {
      await noteInSeries(storeOf(context), noted, written, made, check.checks, broken);
      if (check.result !== 'damaged') await changes?.tracking.commit();
    }, report);
  }
  if (check.result === 'damaged') throw check.error;
  await noteBackupTime(plan, backedUp, opened.system, created, report);
  const { location: storedIn } = stored;
  const ofRecord = { created, location: storedIn, check: checkOf(check) };
  await noteBackup(opened.recordFiles, backedUp, ofRecord, report);
  if ('error' in check) {
    if (signal.aborted) throw new InterruptedError(describeUnread(stored, check.error));
    report.warning(describeUnread(stored, check.error));
  }
  const kit =
    flags.withRecovery === true
      ? await describingInterrupt(
          storeRecoveryKit(storage, location, fileName, signal),
          signal,
          () =>
            `the backup is stored in ${stored.location}, without recover.sh and its instructions`,
        )
      : [];
  const seconds = (Date.now() - begun) / 1000;
  const card =
    series && written && goesIntoSeries(flags) ? cardOf(series, written, created) : undefined;
  const ahead = kept?.files ?? [];
  return { backedUp, written, goesOn, stored, data: ahead, kit, check, card, created, seconds };
}

function cardOf({ file }: SeriesBackup, { name, sequence }: WrittenFile, made: Date): string {
  return seriesCard({ seriesId: file.series.seriesId, sequence, made, mac: name.mac });
}

/** The check for dom0's records. */
function checkOf({ result }: StoredCheck): BackupCheck | undefined {
  if (result !== 'verified' && result !== 'damaged') return undefined;
  return { at: Math.floor(Date.now() / 1000), result };
}

async function openTarget(
  { sources, chosen }: PlannedRequest,
  { storage, estimate }: Proposal,
  { created, goesOn }: { readonly created: Date; readonly goesOn: boolean },
  { request: { location, flags }, signal }: BackupContext,
): Promise<BegunFile> {
  if (flags.command === true) {
    const sink = await storage.openSink({ command: location }, undefined, signal);
    return { sink, fileName: '' };
  }
  return orForgottenDirectory(
    openNewFile(
      ...([storage, location, 'backup', created] as const),
      goesOn ? undefined : estimate.least,
      signal,
    ),
    {
      location,
      sources,
      chosen,
    },
  );
}

/** What changed since the backups that this one continues from; undefined if it goes into no series. */
async function changesSince(
  series: SeriesBackup | undefined,
  { request: { flags }, opened, report }: BackupContext,
): Promise<(KnownChanges & AsyncDisposable) | undefined> {
  if (series === undefined || !goesIntoSeries(flags)) return undefined;
  const { earlier, backupId } = series.file;
  const { seriesId } = series.file.series;
  let tracking: ChangeTracking;
  if (earlier !== undefined) report.phase('detect');
  try {
    tracking = await opened.system.trackChanges({
      ...{ directory: notesOfChanges(opened.seriesDirectory, seriesId), series: seriesId },
      ...{ backup: backupId, warn: (text) => report.warning(text) },
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

/**
 * Runs `note`, and warns if it fails: that the next backup cannot continue from this one does not make this one fail.
 */
async function noteForNext(note: () => Promise<void>, report: CommandReport): Promise<void> {
  try {
    await note();
  } catch (error) {
    report.warning(`this backup was not recorded for the next one: ${messageOf(error)}`);
  }
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

interface WritingOptions {
  readonly passphrase: Buffer;
  /** Undefined for the official format. */
  readonly series: SeriesBackup | undefined;
  readonly created: Date;
  readonly changes: KnownChanges | undefined;
  readonly ahead: KeptData | undefined;
}

async function writeTo(
  output: ByteSink,
  plan: MeasuredPlan,
  { passphrase, series, created, changes, ahead }: WritingOptions,
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
