import { RefusedError, UsageError } from '../../shared/errors.ts';
import { formatSize } from '../../shared/sizes.ts';
import { type CompressionFilter, requireCompressor } from '../archive/compress/compression.ts';
import { costOf } from '../backup/backup-cost.ts';
import { type Estimate, estimateOf, whyItMayNotFit } from '../backup/backup-space.ts';
import { FORMAT_DEFAULTS, FORMAT_FILTERS } from '../backup/backup-formats.ts';
import { timeOfBackupName, timeOfDataName } from '../backup/new-backup-file.ts';
import {
  type MeasuredPlan,
  measurePlan,
  refuseTargetInHome,
  refuseTargetInPaths,
} from '../backup/plan-home.ts';
import { type ChangedQubes, changedQubes, dueQubes } from '../backup/changed-qubes.ts';
import type { SeriesState } from '../backup/series-state.ts';
import { SeriesStore } from '../backup/series-store.ts';
import type { Storage } from '../transport/storage.ts';
import { type BackupFlags, isPathInDom0 } from './backup-options.ts';
import { describeSeries, goesIntoSeries, knownSeries, refuseForSeries } from './backup-series.ts';
import { describeCost } from './describe-cost.ts';
import type { BackupRequest } from './backup-request.ts';
import type { PlannedRequest } from './plan-request.ts';
import { backupPlanForPrograms } from './backup-events.ts';
import { formatBackupPlan } from './backup-tables.ts';
import type { CommandReport } from './command-report.ts';
import { isLong } from './data-limits.ts';
import {
  type Destination,
  describeDestination,
  listDestination,
  orForgottenDirectory,
  seeDestination,
} from './destination.ts';
import { aboutField } from './error-field.ts';
import type { OpenedSystem } from './open-system.ts';
import { confirm } from './questions.ts';

/** What every step of a backup needs. */
export interface BackupContext {
  readonly request: BackupRequest;
  readonly opened: OpenedSystem;
  readonly report: CommandReport;
  readonly signal: AbortSignal;
}

/** What the user is asked to agree to. */
export interface Proposal {
  readonly plan: MeasuredPlan;
  readonly estimate: Estimate;
  readonly storage: Storage;
  readonly destination: Destination;
  /** The series that the backup continues. */
  readonly known: SeriesState | undefined;
  /** What has changed since the last backup of that series. */
  readonly changes: ChangedQubes;
  /** The names of the VMs of which a volume will be compared as a whole, changed or not. */
  readonly due: ReadonlySet<string>;
}

/** Finds out everything that can be known in advance. Throws RefusedError and UsageError for what cannot be done. */
export async function propose(
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
  const storage = await aboutField('dest-vm', () => opened.storage(flags));
  if (plan.dom0Home !== undefined && isPathInDom0(flags)) {
    const { path } = plan.dom0Home;
    await aboutField('location', () => refuseTargetInHome(path, location));
  }
  const measured = await aboutField('dom0-path', () => measurePlan(plan, flags.dom0Path));
  if (measured.dom0Paths !== undefined && isPathInDom0(flags)) {
    const { paths } = measured.dom0Paths;
    await aboutField('location', () => refuseTargetInPaths(paths, location));
  }
  const estimate = estimateOf(measured, compressor !== undefined);
  const destination = await aboutField('location', () =>
    orForgottenDirectory(seeDestination(opened, storage, location, flags, signal), {
      ...{ location, sources, chosen },
    }),
  );
  const openFiles = () => storage.openFiles(location, signal);
  const known = await knownSeries(storeOf(context), destination, flags, openFiles);
  if (known !== undefined) refuseForSeries(known, flags, measured);
  const since = await changedSince(known, measured, opened);
  return { plan: measured, estimate, storage, destination, known, ...since };
}

async function changedSince(
  known: SeriesState | undefined,
  { qubes }: MeasuredPlan,
  { system, seriesDirectory }: OpenedSystem,
): Promise<Pick<Proposal, 'changes' | 'due'>> {
  if (known === undefined) return { changes: new Map(), due: new Set() };
  const planned = qubes.map(({ qube }) => qube);
  return {
    changes: await changedQubes(system, known, seriesDirectory, planned),
    due: await dueQubes(known, seriesDirectory, planned),
  };
}

/** Shows the plan, and asks for confirmation. Throws RefusedError when it cannot fit, or the user does not agree. */
export async function agree(
  proposal: Proposal,
  { request: { flags }, report, signal }: BackupContext,
): Promise<void> {
  const { plan, estimate, storage, destination, known, changes, due } = proposal;
  const { yes } = flags;
  const goesOn = known !== undefined && flags.full !== true;
  const show = (text: string): void => (yes === true ? report.say(text) : report.ask(text));
  show(formatBackupPlan(plan));
  show(`${formatSize(estimate.most)} in all, to ${describeDestination(destination)}.`);
  const isNotRead = (name: string): boolean =>
    goesOn && changes.get(name) === 'unchanged' && !due.has(name);
  const cost = costOf(plan, known, isNotRead);
  if (goesOn) show(describeSeries(known, changes));
  const taking = goesOn ? describeCost(cost, estimate.most) : '';
  if (taking !== '') show(taking);
  const unknown = known === undefined ? unknownBackups(destination, flags) : [];
  if (unknown.length > 0) show(describeUnknown(unknown));
  // For a backup that continues a series, it is not known yet how much has changed.
  const doubt = goesOn
    ? undefined
    : await aboutField('location', () =>
        whyItMayNotFit(estimate, destination, isLong(proposal, flags)),
      );
  report.plan({
    command: 'backup',
    ...backupPlanForPrograms(plan, estimate, storage.owner, destination, {
      ...{ known, unknown, changes, cost },
    }),
    problems: doubt === undefined ? [] : [{ field: 'location', sentence: doubt }],
  });
  if (doubt !== undefined) report.warning(doubt);
  if (plan.uncommitted.length > 0) report.warning(describeUncommitted(plan.uncommitted));
  if (yes !== true) await confirm('Back up?', signal);
}

/** A sentence about VMs that were not shut down, as when the power failed. */
function describeUncommitted(names: readonly string[]): string {
  const [they, them] = names.length === 1 ? ['it', 'it'] : ['they', 'them'];
  return (
    `Qubes has not saved what ${names.join(', ')} wrote when ${they} last ran, as after a power failure: that is not in ` +
    `the backup; start ${them} and shut ${them} down to save it`
  );
}

/** A sentence about backups that will be taken over if possible. */
function describeUnknown({ length }: readonly Date[]): string {
  const count = length === 1 ? 'is a backup' : `are ${length} backups`;
  return (
    `There ${count} there that dom0 does not know. If coffer made ${length === 1 ? 'it' : 'them'} and the passphrase fits, ` +
    'this backup continues from there; otherwise it begins a new series and stores everything.'
  );
}

/**
 * The times, from their names, of the backups that are already in a directory where a series would begin. Data of an
 * interrupted backup counts as one if there is no other backup.
 */
export function unknownBackups({ listing }: Destination, flags: BackupFlags): Date[] {
  if (!goesIntoSeries(flags) || flags.newSeries === true || listing === undefined) return [];
  const names = listing.entries.map(({ untrustedName }) => untrustedName);
  const made = names.flatMap((name) => timeOfBackupName(name) ?? []);
  return made.length > 0 ? made : names.flatMap((name) => timeOfDataName(name) ?? []).slice(-1);
}

/** The proposal, with what can only be found out now that the user has agreed to starting a VM. */
export async function settle(proposal: Proposal, context: BackupContext): Promise<Proposal> {
  const { toBeStarted } = proposal.destination;
  return toBeStarted === undefined ? proposal : await asItIsNow(proposal, context);
}

/**
 * Looks at the directory again, under its lock: another run may have continued the series while this one asked or
 * waited, and its files would seem to be lost. Throws RefusedError when the series is no longer there.
 */
export async function lookAgain(proposal: Proposal, context: BackupContext): Promise<Proposal> {
  const now = await asItIsNow(proposal, context);
  if (proposal.known === undefined || now.known !== undefined) return now;
  // A new series needs a passphrase that was asked for twice.
  throw new RefusedError(
    `the backups in ${now.destination.location} that this backup was to continue from are no longer there: start it again`,
  );
}

async function asItIsNow(proposal: Proposal, context: BackupContext): Promise<Proposal> {
  const { storage, destination } = proposal;
  const { flags, location } = context.request;
  if (!goesIntoSeries(flags)) return proposal;
  const unseen = { ...destination, listing: undefined };
  const found = await listDestination(unseen, storage, location, context.signal);
  const openFiles = () => storage.openFiles(location, context.signal);
  const known = await knownSeries(storeOf(context), found, flags, openFiles);
  return { ...proposal, destination: found, known };
}

/** What dom0 knows about series. */
export function storeOf({ opened, report }: BackupContext): SeriesStore {
  return new SeriesStore(opened.seriesDirectory, (text) => report.warning(text));
}

/** The filter for a backup; undefined: it is not compressed. Throws UsageError when the format does not support it. */
export function compressorOf({
  compressFilter,
  format,
}: BackupFlags): CompressionFilter | undefined {
  const filter = compressFilter ?? FORMAT_DEFAULTS[format].compressFilter;
  if (filter === 'none') return undefined;
  if (FORMAT_FILTERS[format].includes(filter)) return filter;
  throw new UsageError(
    `the format ${format} is compressed with ${FORMAT_FILTERS[format].join(' or ')}, not with ${filter}`,
  );
}
