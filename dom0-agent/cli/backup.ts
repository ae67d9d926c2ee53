import { join } from 'node:path';
import type { ChangeTracking } from '../qubes/changes/volume-changes.ts';
import type { ByteSink } from '../../shared/byte-streams.ts';
import { ExitStatus, RefusedError, UsageError, messageOf } from '../../shared/errors.ts';
import { formatSize } from '../../shared/sizes.ts';
import { scryptCost } from '../archive/scrypt-cost.ts';
import { type CompressionFilter, requireCompressor } from '../archive/compress/compression.ts';
import { type Estimate, estimateOf, whyItMayNotFit } from '../backup/backup-space.ts';
import { FORMAT_DEFAULTS, FORMAT_FILTERS } from '../backup/backup-formats.ts';
import { type MeasuredPlan, measurePlan, refuseTargetInHome } from '../backup/plan-home.ts';
import { type NewBackupFile, openNewBackupFile } from '../backup/new-backup-file.ts';
import { noteBackup } from '../backup/note-backup.ts';
import { storeRecoveryKit } from '../backup/recovery-kit.ts';
import {
  type BackedUp,
  type BackupMade,
  type BackupOptions,
  noteBackupTime,
  writeBackup,
} from '../backup/run-backup.ts';
import { type SeriesBackup, noteInSeries } from '../backup/series-backup.ts';
import type { SeriesState } from '../backup/series-state.ts';
import { SeriesStore } from '../backup/series-store.ts';
import type { WrittenFile } from '../archive/coffer1/write-coffer1.ts';
import type { Storage, StoredArchive } from '../transport/storage.ts';
import type { BackupFlags } from './backup-options.ts';
import {
  changesIn,
  describeChanges,
  describeSeries,
  goesIntoSeries,
  knownSeries,
  openSeriesFor,
} from './backup-series.ts';
import type { BackupRequest } from './backup-request.ts';
import { type PlannedRequest, planRequest } from './plan-request.ts';
import { backedUpForPrograms, backupPlanForPrograms, sharesOf } from './backup-events.ts';
import { describeKit, formatBackedUp, formatBackupPlan } from './backup-tables.ts';
import { CommandReport } from './command-report.ts';
import { ConfirmedData } from './confirmed-data.ts';
import {
  type Destination,
  describeDestination,
  listDestination,
  orForgottenDirectory,
  seeDestination,
} from './destination.ts';
import { aboutField } from './error-field.ts';
import { type OpenedSystem, openSystem } from './open-system.ts';
import { askNewPassphrase, askPassphrase, confirm } from './questions.ts';
import type { KnownChanges } from '../backup/volume-source.ts';
import { rollBackIfKilled } from './roll-back.ts';
import { describingInterrupt } from './signals.ts';

/** What every step of a backup needs. */
interface BackupContext {
  readonly request: BackupRequest;
  readonly opened: OpenedSystem;
  readonly report: CommandReport;
  readonly signal: AbortSignal;
}

/** What the user is asked to agree to. */
interface Proposal {
  readonly plan: MeasuredPlan;
  readonly estimate: Estimate;
  readonly storage: Storage;
  readonly destination: Destination;
  /** What the backup goes on from. */
  readonly known: SeriesState | undefined;
}

/** What has been made. */
interface Made {
  readonly written: WrittenFile | undefined;
  readonly goesOn: boolean;
  readonly backedUp: readonly BackedUp[];
  readonly stored: StoredArchive;
  readonly kit: readonly StoredArchive[];
  readonly created: Date;
  readonly seconds: number;
}

/** `coffer backup`. Gives the exit status. */
export async function backupCommand(request: BackupRequest, signal: AbortSignal): Promise<number> {
  const { flags } = request;
  using report = new CommandReport(flags);
  const opened = await openSystem(flags.system, (text) => report.info(text));
  const context = { request, opened, report, signal };
  const selection = await aboutField('vms', () => planRequest(request, opened.system, report));
  const proposal = await propose(selection, context);
  await agree(proposal, context);
  const settled = await settle(proposal, context);
  const passphrase = await passphraseFor(settled, context);
  try {
    const made = await alone(settled, context, async () =>
      makeBackup(selection, await lookAgain(settled, context), passphrase, context),
    );
    return reportResult(made, selection, settled, context);
  } finally {
    passphrase.fill(0);
  }
}

/** What could not be known before a VM was started, which is done now. */
async function settle(proposal: Proposal, context: BackupContext): Promise<Proposal> {
  const { toBeStarted } = proposal.destination;
  return toBeStarted === undefined ? proposal : await asItIsNow(proposal, context);
}

/**
 * Looks once more when no other run goes on with the series: one may have, while the user was asked or this one waited.
 * Its files would seem to be lost.
 */
async function lookAgain(proposal: Proposal, context: BackupContext): Promise<Proposal> {
  const now = await asItIsNow(proposal, context);
  if (proposal.known === undefined || now.known !== undefined) return now;
  // A new series needs a passphrase that was asked for twice.
  throw new RefusedError(
    `the backups in ${now.destination.location} that this one was to go on from are not there any more: start it again`,
  );
}

async function asItIsNow(proposal: Proposal, context: BackupContext): Promise<Proposal> {
  const { storage, destination } = proposal;
  const { flags, location } = context.request;
  if (!goesIntoSeries(flags)) return proposal;
  const unseen = { ...destination, listing: undefined };
  const found = await listDestination(unseen, storage, location, context.signal);
  const known = await knownSeries(storeOf(context), found, flags);
  return { ...proposal, destination: found, known };
}

/** A series that is gone on with has its passphrase; for a new one it is asked for twice. */
async function passphraseFor(
  { known }: Proposal,
  { request: { flags }, report, signal }: BackupContext,
): Promise<Buffer> {
  if (known !== undefined) return await askPassphrase(flags.passphraseFile, signal);
  const warn = (text: string): void => report.warning(text);
  return await askNewPassphrase(flags.passphraseFile, flags.format, warn, signal);
}

/** Runs `action` while no other backup goes on with the same series. */
async function alone<T>(
  { destination }: Proposal,
  context: BackupContext,
  action: () => Promise<T>,
): Promise<T> {
  if (!goesIntoSeries(context.request.flags)) return await action();
  const { report, signal } = context;
  return await storeOf(context).whileLocked(destination.location, action, {
    onWait: () => report.info(`waiting for another backup to ${destination.location}`),
    signal,
  });
}

function storeOf({ opened, report }: BackupContext): SeriesStore {
  return new SeriesStore(opened.seriesDirectory, (text) => report.warning(text));
}

/** Finds out everything that can be known in advance, and refuses what cannot be done. */
async function propose(
  { sources, chosen, plan }: PlannedRequest,
  context: BackupContext,
): Promise<Proposal> {
  const { opened, signal } = context;
  const { location, flags } = context.request;
  const compressor = await aboutField('compress-filter', async () => {
    const filter = compressorOf(flags);
    if (filter !== undefined) await requireCompressor(filter);
    return filter;
  });
  const storage = await aboutField('dest-vm', () => opened.storage(flags.destVm));
  if (plan.dom0Home !== undefined && storage.owner === 'dom0' && flags.command !== true) {
    const { path } = plan.dom0Home;
    await aboutField('location', () => refuseTargetInHome(path, location));
  }
  const measured = await measurePlan(plan);
  const estimate = estimateOf(measured, compressor !== undefined);
  const destination = await aboutField('location', () =>
    orForgottenDirectory(seeDestination(opened, storage, location, flags, signal), {
      ...{ location, sources, chosen },
    }),
  );
  const known = await knownSeries(storeOf(context), destination, flags);
  return { plan: measured, estimate, storage, destination, known };
}

/** Shows the plan, and asks. Throws RefusedError when the backup cannot fit, or the user does not agree. */
async function agree(
  { plan, estimate, storage, destination, known }: Proposal,
  { request: { flags }, report, signal }: BackupContext,
): Promise<void> {
  const { yes } = flags;
  const goesOn = known !== undefined && flags.full !== true;
  const show = (text: string): void => (yes === true ? report.say(text) : report.ask(text));
  show(formatBackupPlan(plan));
  show(`${formatSize(estimate.most)} in all, to ${describeDestination(destination)}.`);
  if (goesOn) show(describeSeries(known));
  // How much changed is not known yet.
  const doubt = goesOn
    ? undefined
    : await aboutField('location', () => whyItMayNotFit(estimate, destination));
  report.plan({
    command: 'backup',
    ...backupPlanForPrograms(plan, estimate, storage.owner, destination),
    problems: doubt === undefined ? [] : [{ field: 'location', sentence: doubt }],
  });
  if (doubt !== undefined) report.warning(doubt);
  if (yes !== true) await confirm('Back up?', signal);
}

async function makeBackup(
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
      ? await openSeriesFor(storeOf(context), proposal, flags, passphrase, report)
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
  if (series !== undefined && written !== undefined && goesIntoSeries(flags)) {
    const file = { fileName, bytes: stored.bytes, made: created };
    await noteForNext(async () => {
      await noteInSeries(storeOf(context), series, written, file, broken);
      await changes?.tracking.commit();
    }, report);
  }
  await noteBackupTime(plan, backedUp, opened.system, created, report);
  const { location: storedIn } = stored;
  await noteBackup(opened.recordFiles, backedUp, { created, location: storedIn }, report);
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
  return { backedUp, written, goesOn, stored, kit, created, seconds };
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

/** Undefined: the backup is not compressed. */
function compressorOf({ compressFilter, format }: BackupFlags): CompressionFilter | undefined {
  const filter = compressFilter ?? FORMAT_DEFAULTS[format].compressFilter;
  if (filter === 'none') return undefined;
  if (FORMAT_FILTERS[format].includes(filter)) return filter;
  throw new UsageError(
    `the format ${format} is compressed with ${FORMAT_FILTERS[format].join(' or ')}, not with ${filter}`,
  );
}

/** Gives the exit status. */
function reportResult(
  { backedUp, written, goesOn, stored, kit, created, seconds }: Made,
  { missing }: PlannedRequest,
  { plan, storage }: Proposal,
  { request: { flags }, report }: BackupContext,
): number {
  const failed = backedUp.filter(({ failure }) => failure !== undefined).map(({ name }) => name);
  const done = failed.length === 0 && missing.length === 0;
  report.say(formatBackedUp(plan, backedUp));
  report.say(`Stored ${formatSize(stored.bytes)} in ${stored.location}, ${seconds.toFixed(1)} s.`);
  const changes = written !== undefined && goesOn ? changesIn(written, plan) : undefined;
  if (changes !== undefined) report.say(`${describeChanges(changes)}.`);
  if (failed.length > 0) {
    report.say(`Not everything was backed up: ${failed.join(', ')} failed, the table says why.`);
  }
  if (kit.length > 0) report.say(describeKit(kit));
  report.result({
    ok: done,
    command: 'backup',
    vm: storage.owner,
    location: stored.location,
    path: stored.path ?? null,
    bytes: stored.bytes,
    sha256: stored.sha256,
    checked: false,
    changedVms: changes?.changedVms ?? null,
    newBytes: changes?.newBytes ?? null,
    knownBytes: changes?.knownBytes ?? null,
    created: created.toISOString(),
    format: flags.format,
    encrypted: flags.encrypt,
    qubes: backedUpForPrograms(backedUp),
    leftOut: plan.leftOut,
    recovery: kit.map(({ location, sha256 }) => ({ location, sha256 })),
    warnings: report.warnings,
    seconds,
  });
  return done ? ExitStatus.done : ExitStatus.failed;
}
