import { InterruptedError, StorageError, messageOf } from '../../shared/errors.ts';
import type { SeriesKeys } from '../archive/coffer1/series-keys.ts';
import { whyItMayNotFit } from '../backup/backup-space.ts';
import type { KeptFile } from '../backup/keep-data.ts';
import { type BegunFile, openNewFile } from '../backup/new-backup-file.ts';
import { storeRecoveryKit } from '../backup/recovery-kit.ts';
import type { BackedUp } from '../backup/backup-files.ts';
import { seriesCard } from '../backup/series-card.ts';
import type { SeriesBackup } from '../backup/series-backup.ts';
import type { WrittenFile } from '../archive/coffer1/write-coffer1.ts';
import type { Sink, StoredArchive } from '../transport/storage.ts';
import type { BackupFlags } from './backup-options.ts';
import { goesIntoSeries, openSeriesFor } from './backup-series.ts';
import type { PlannedRequest } from './plan-request.ts';
import { type StoredCheck, checkStored, describeUnread } from './check-stored.ts';
import { isLong } from './data-limits.ts';
import { orForgottenDirectory } from './destination.ts';
import { filesNeeded, uncheckedData } from './keep-sent.ts';
import { confirm } from './questions.ts';
import { noteForNext, noteForUser } from './note-made.ts';
import { type Sent, changesSince, describeUnfinished, send } from './send-backup.ts';
import { describingInterrupt } from './signals.ts';
import { type BackupContext, type Proposal, storeOf } from './propose-backup.ts';

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
  keys: SeriesKeys,
  context: BackupContext,
): Promise<Made> {
  const { request, report, signal } = context;
  const { flags } = request;
  const created = new Date();
  const series = await seriesOf(proposal, passphrase, keys, context);
  const goesOn = series?.state !== undefined && flags.full !== true;
  const { sink, fileName } = await describingInterrupt(
    openTarget(selection, proposal, { created, goesOn }, context),
    signal,
    () => describeUnfinished(flags),
  );
  await using target = sink;
  if (!goesOn) await warnOfSpace(proposal, target, context);
  await using changes = await changesSince(series, selection.sources.qubes, context);
  const begun = Date.now();
  const writing = { passphrase, series, created, changes, goesOn };
  const sent = await send(target, proposal, writing, context);
  const check = await checkSent(sent, fileName, proposal, context);
  const secondsPassed = (): number => (Date.now() - begun) / 1000;
  const noting = { sent, check, fileName, created, seconds: secondsPassed(), changes };
  await noteForNext(noting, context);
  if (check.result === 'damaged') throw check.error;
  await noteForUser(noting, proposal, context);
  const { backedUp, written, stored, kept } = sent;
  if ('error' in check) {
    if (signal.aborted) throw new InterruptedError(describeUnread(stored, check.error));
    report.warning(describeUnread(stored, check.error));
  }
  return {
    ...{ backedUp, written, goesOn, stored, data: kept?.files ?? [], check, created },
    kit: await storeKit(sent, fileName, proposal, context),
    card: cardOf(series, written, created, flags),
    seconds: secondsPassed(),
  };
}

function seriesOf(
  proposal: Proposal,
  passphrase: Buffer,
  keys: SeriesKeys,
  context: BackupContext,
): Promise<SeriesBackup> | undefined {
  const { location, flags } = context.request;
  if (flags.format !== 'coffer-1') return undefined;
  const { report, signal } = context;
  return openSeriesFor({ ...proposal, isLong: isLong(proposal, flags) }, passphrase, {
    ...{ store: storeOf(context), flags, keys, report, signal },
    openFiles: () => proposal.storage.openFiles(location, signal),
  });
}

/** If only now it is known how much space there is: warns if the backup may not fit, and asks whether to go on. */
async function warnOfSpace(
  proposal: Proposal,
  target: Sink,
  { request: { flags }, report, signal }: BackupContext,
): Promise<void> {
  if (proposal.destination.space.freeBytes !== undefined) return;
  const doubt = whyItMayNotFit(proposal.estimate, target, isLong(proposal, flags));
  if (doubt === undefined) return;
  report.warning(doubt);
  if (flags.yes !== true) await confirm('Back up anyway?', signal);
}

/** Reads back what was sent, and what the backup needs of earlier ones that was never read back. */
function checkSent(
  { series, written, stored }: Sent,
  fileName: string,
  { storage, destination }: Proposal,
  context: BackupContext,
): Promise<StoredCheck> {
  const key = series?.file.series.key;
  const file = { fileName, stored, written: written && key && { key, name: written.name } };
  const unchecked =
    written && series ? uncheckedData(series, written.needs, destination.location) : [];
  const earlier = written && series ? filesNeeded(series, written.needs) : [];
  return checkStored(storage, [file, ...unchecked], earlier, context);
}

/** Stores recover.sh and its instructions beside the backup, if the user wants them. */
async function storeKit(
  { stored }: Sent,
  fileName: string,
  { storage }: Proposal,
  { request: { location, flags }, signal }: BackupContext,
): Promise<readonly StoredArchive[]> {
  if (flags.withRecovery !== true) return [];
  const without = `the backup is stored in ${stored.location}, without recover.sh and its instructions`;
  const storing = storeRecoveryKit(storage, location, fileName, signal);
  try {
    return await describingInterrupt(storing, signal, () => without);
  } catch (error) {
    if (error instanceof InterruptedError) throw error;
    throw new StorageError(`${without}: ${messageOf(error)}`, { cause: error });
  }
}

/** A line for the user to keep; undefined for a backup that goes into no series. */
function cardOf(
  series: SeriesBackup | undefined,
  written: WrittenFile | undefined,
  made: Date,
  flags: BackupFlags,
): string | undefined {
  if (series === undefined || written === undefined || !goesIntoSeries(flags)) return undefined;
  const { name, sequence } = written;
  const { seriesId } = series.file.series;
  return seriesCard({ seriesId, sequence, made, mac: name.mac });
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
