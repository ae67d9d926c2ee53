import { join } from 'node:path';
import type { ChangeTracking } from '../qubes/changes/volume-changes.ts';
import type { ByteSink } from '../../shared/byte-streams.ts';
import { InterruptedError, messageOf } from '../../shared/errors.ts';
import { scryptCost } from '../archive/scrypt-cost.ts';
import type { BackupCheck } from '../backup/backup-record.ts';
import { whyItMayNotFit } from '../backup/backup-space.ts';
import { FORMAT_DEFAULTS } from '../backup/backup-formats.ts';
import type { MeasuredPlan } from '../backup/plan-home.ts';
import { type NewBackupFile, openNewBackupFile } from '../backup/new-backup-file.ts';
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
import type { StoredArchive } from '../transport/storage.ts';
import { goesIntoSeries, openSeriesFor } from './backup-series.ts';
import type { PlannedRequest } from './plan-request.ts';
import { sharesOf } from './backup-events.ts';
import type { CommandReport } from './command-report.ts';
import { type StoredCheck, checkStored, describeUnread } from './check-stored.ts';
import { ConfirmedData } from './confirmed-data.ts';
import { orForgottenDirectory } from './destination.ts';
import { confirm } from './questions.ts';
import type { KnownChanges } from '../backup/volume-source.ts';
import { rollBackIfKilled } from './roll-back.ts';
import { describingInterrupt } from './signals.ts';
import { type BackupContext, type Proposal, storeOf, compressorOf } from './propose-backup.ts';

/** What has been made. */
export interface Made {
  readonly written: WrittenFile | undefined;
  readonly goesOn: boolean;
  readonly backedUp: readonly BackedUp[];
  readonly stored: StoredArchive;
  readonly kit: readonly StoredArchive[];
  readonly check: StoredCheck;
  /** For the user to keep; undefined for a backup that goes into no series. */
  readonly card: string | undefined;
  readonly created: Date;
  readonly seconds: number;
}

/** Opens the series and the file, and writes the backup to it. */
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
      ? await openSeriesFor(
          storeOf(context),
          proposal,
          flags,
          passphrase,
          () => storage.openFiles(location, signal),
          report,
          signal,
        )
      : undefined;
  const goesOn = series?.state !== undefined && flags.full !== true;
  const describeUnfinished = (): string =>
    flags.command === true
      ? 'what the command had written by then is still there'
      : 'the unfinished backup is discarded';
  const { sink, fileName } = await describingInterrupt(
    openTarget(selection, proposal, { created, goesOn }, context),
    signal,
    describeUnfinished,
  );
  await using target = sink;
  if (!goesOn && proposal.destination.space.freeBytes === undefined) {
    const doubt = whyItMayNotFit(estimate, target);
    if (doubt !== undefined) report.warning(doubt);
    if (doubt !== undefined && flags.yes !== true) await confirm('Back up all the same?', signal);
  }
  await using changes = await changesSince(series, context);
  const begun = Date.now();
  const data = new ConfirmedData(target, () => report.read);
  report.startProgress('send', sharesOf(plan), () => data.now);
  const { backedUp, written, broken } = await describingInterrupt(
    writeTo(data.output, plan, { passphrase, series, created, changes }, context),
    signal,
    describeUnfinished,
  );
  report.phase('sync');
  const stored = await describingInterrupt(
    target.finish(),
    signal,
    () => `the backup may nevertheless be stored in ${target.location}`,
  );
  report.endProgress();
  const key = series?.file.series.key;
  const file = {
    ...{ directory: location, fileName, stored },
    written: written && key && { key, name: written.name },
  };
  const check = await checkStored(storage, file, context);
  if (series !== undefined && written !== undefined && goesIntoSeries(flags)) {
    const noted = { fileName, bytes: stored.bytes, made: created, check: checkOf(check) };
    await noteForNext(async () => {
      await noteInSeries(storeOf(context), series, written, noted, broken);
      if (check.result !== 'damaged') await changes?.tracking.commit();
    }, report);
  }
  if (check.result === 'damaged') throw check.error;
  await noteBackupTime(plan, backedUp, opened.system, created, report);
  const { location: storedIn } = stored;
  const made = { created, location: storedIn, check: checkOf(check) };
  await noteBackup(opened.recordFiles, backedUp, made, report);
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
  return { backedUp, written, goesOn, stored, kit, check, card, created, seconds };
}

function cardOf({ file }: SeriesBackup, { name }: WrittenFile, made: Date): string {
  const { sequence, series } = file;
  return seriesCard({ seriesId: series.seriesId, sequence, made, mac: name.mac });
}

/** For the records of dom0. */
function checkOf({ result }: StoredCheck): BackupCheck | undefined {
  if (result !== 'verified' && result !== 'damaged') return undefined;
  return { at: Math.floor(Date.now() / 1000), result };
}

async function openTarget(
  { sources, chosen }: PlannedRequest,
  { storage, estimate }: Proposal,
  { created, goesOn }: { readonly created: Date; readonly goesOn: boolean },
  { request: { location, flags }, signal }: BackupContext,
): Promise<NewBackupFile> {
  if (flags.command === true) {
    const sink = await storage.openSink({ command: location }, undefined, signal);
    return { sink, fileName: '' };
  }
  return orForgottenDirectory(
    openNewBackupFile(storage, location, created, goesOn ? undefined : estimate.least, signal),
    {
      location,
      sources,
      chosen,
    },
  );
}

/** What changed since the backups that this one goes on from; undefined when it does not go into a series. */
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
      ...{ directory: join(opened.seriesDirectory, seriesId, 'changes'), series: seriesId },
      ...{ backup: backupId, warn: (text) => report.warning(text) },
    });
  } catch (error) {
    // That not all can be left out that has not changed is no reason to fail.
    report.warning(`everything is read, changed or not: ${messageOf(error)}`);
    return undefined;
  }
  return {
    tracking,
    since: (origin) => (earlier === undefined ? undefined : series.state?.maps.get(origin)),
    [Symbol.asyncDispose]: () => tracking[Symbol.asyncDispose](),
  };
}

/** That the next backup cannot go on from this one is no reason for it to fail. */
async function noteForNext(note: () => Promise<void>, report: CommandReport): Promise<void> {
  try {
    await note();
  } catch (error) {
    report.warning(`this backup was not recorded for the next one: ${messageOf(error)}`);
  }
}

interface WritingOptions {
  readonly passphrase: Buffer;
  /** Undefined for the official format. */
  readonly series: SeriesBackup | undefined;
  readonly created: Date;
  readonly changes: KnownChanges | undefined;
}

async function writeTo(
  output: ByteSink,
  plan: MeasuredPlan,
  { passphrase, series, created, changes }: WritingOptions,
  { request: { flags }, opened, report, signal }: BackupContext,
): Promise<BackupMade> {
  const options: BackupOptions =
    series === undefined
      ? {
          ...{ format: 'qubes-4', passphrase, created, compressionFilter: compressorOf(flags) },
          kdf: scryptCost(flags.kdfCost ?? FORMAT_DEFAULTS['qubes-4'].kdfCost),
        }
      : {
          ...{ format: 'coffer-1', created, file: series.file, cut: series.cut, changes },
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
