import type { MeasuredPlan } from '../backup/plan-home.ts';
import type { ChangedQubes } from '../backup/changed-qubes.ts';
import { FORMAT_DEFAULTS } from '../backup/backup-formats.ts';
import {
  type SeriesBackup,
  type SeriesWishes,
  beginSeriesOfBackups,
  continueSeries,
  refuseOtherSettings,
} from '../backup/series-backup.ts';
import { leftByBackups } from '../backup/left-by-backups.ts';
import type { SeriesFile, SeriesState } from '../backup/series-state.ts';
import type { SeriesStore } from '../backup/series-store.ts';
import { formatSize } from '../../shared/sizes.ts';
import { formatTime } from '../../shared/local-time.ts';
import { DamagedError, RefusedError, UsageError } from '../../shared/errors.ts';
import { COFFER1_FILTERS } from '../archive/coffer1/coffer1-header.ts';
import { untrustedIdsOf } from '../archive/coffer1/open-series-file.ts';
import type { WrittenFile } from '../archive/coffer1/write-coffer1.ts';
import type { SeriesKeys } from '../archive/coffer1/series-keys.ts';
import { scryptCost } from '../archive/scrypt-cost.ts';
import type { StoredFiles } from '../transport/storage.ts';
import type { BackupFlags } from './backup-options.ts';
import type { CommandReport } from './command-report.ts';
import type { Destination } from './destination.ts';

/** Whether a backup goes into a series that later backups continue. A command keeps no files, so there it does not. */
export function goesIntoSeries({ format, command }: BackupFlags): boolean {
  return format === 'coffer-1' && command !== true;
}

/**
 * The series that a backup to this directory continues; undefined if it begins one, or if the directory cannot be
 * listed.
 */
export async function knownSeries(
  store: SeriesStore,
  { listing, location }: Destination,
  flags: BackupFlags,
  openFiles: () => Promise<StoredFiles>,
): Promise<SeriesState | undefined> {
  if (!goesIntoSeries(flags)) return undefined;
  if (flags.newSeries === true || listing === undefined) return undefined;
  const sizes = new Map(listing.entries.map(({ untrustedName, size }) => [untrustedName, size]));
  const isWhole = ({ fileName, bytes }: SeriesFile): boolean => sizes.get(fileName) === bytes;
  // An incomplete listing does not show every file that is there.
  const isThere = ({ fileName }: SeriesFile): boolean => listing.truncated || sizes.has(fileName);
  const whole = await store.at(location, isWhole);
  const candidates = whole.length > 0 ? whole : await store.at(location, isThere);
  if (candidates.length < 2) return candidates[0];
  await using files = await orNone(openFiles());
  if (files === undefined) return candidates[0];
  for (const state of candidates) if (await isOf(state, files, sizes)) return state;
  return undefined;
}

/** Whether the newest file of a series that is there claims to be of this series: its name alone does not show it. */
async function isOf(
  { files, head }: SeriesState,
  directory: StoredFiles,
  sizes: ReadonlyMap<string, number>,
): Promise<boolean> {
  const newest = files.findLast(({ fileName }) => sizes.has(fileName));
  if (newest === undefined) return false;
  try {
    const untrusted = await untrustedIdsOf(directory, newest.fileName);
    return untrusted?.seriesId === head.seriesId && untrusted.backupId === newest.backupId;
  } catch (error) {
    if (error instanceof DamagedError || error instanceof RefusedError) return false;
    throw error;
  }
}

/** Undefined for a directory that must not be read. */
async function orNone(opening: Promise<StoredFiles>): Promise<StoredFiles | undefined> {
  try {
    return await opening;
  } catch (error) {
    if (error instanceof RefusedError) return undefined;
    throw error;
  }
}

/** The backup that the user agreed to, as far as the series is concerned. */
interface SeriesProposal {
  readonly destination: Destination;
  readonly plan: MeasuredPlan;
  readonly known: SeriesState | undefined;
  /** Whether a first backup is made in more than one file. */
  readonly isLong: boolean;
}

/** What opening a series needs from the command. */
interface SeriesContext {
  readonly store: SeriesStore;
  readonly flags: BackupFlags;
  readonly openFiles: () => Promise<StoredFiles>;
  readonly keys: SeriesKeys;
  readonly report: CommandReport;
  readonly signal: AbortSignal;
}

/**
 * Opens the series that a backup continues, or begins one.
 *
 * @param passphrase is wiped
 * @throws as `continueSeries`; UsageError for a filter that coffer-1 does not support
 */
export async function openSeriesFor(
  { destination, plan, known, isLong }: SeriesProposal,
  passphrase: Buffer,
  { store, flags, openFiles, keys, report, signal }: SeriesContext,
): Promise<SeriesBackup> {
  const wishes = wishesOf(flags, plan);
  const { listing } = destination;
  if (known === undefined || listing === undefined) {
    const { kdfCost } = FORMAT_DEFAULTS['coffer-1'];
    const defaults = { compressionFilter: 'zstd', kdf: scryptCost(kdfCost) } as const;
    const place = destination.location;
    return beginSeriesOfBackups(wishes, { ...defaults, place }, passphrase, isLong);
  }
  await using directory = await orNone(openFiles());
  const there = { listing, directory };
  const opened = await continueSeries({ store, known }, wishes, passphrase, there, keys, signal);
  for (const remark of opened.remarks) report.warning(remark);
  if (opened.left.length > 0) {
    report.info(`${formatSize(bytesOf(opened.left))} from an interrupted backup are there`);
  }
  return opened;
}

/** Throws UsageError for something that only a new series can have, before anybody is asked anything. */
export function refuseForSeries(known: SeriesState, flags: BackupFlags, plan: MeasuredPlan): void {
  refuseOtherSettings(known, wishesOf(flags, plan));
}

/** A sentence for the plan: what the backup continues from. */
export function describeSeries({ files }: SeriesState, changes: ChangedQubes): string {
  const backups = files.filter(({ kind }) => kind === 'backup');
  const last = backups.at(-1);
  const left = leftByBackups(files);
  const sent =
    left.length === 0 ? '' : `${formatSize(bytesOf(left))} that an interrupted backup had sent`;
  if (last === undefined) return `It continues from ${sent}.`;
  const count =
    backups.length === 1
      ? 'the backup there,'
      : `the ${backups.length} backups there, the last one`;
  const made = formatTime(new Date(1000 * last.made));
  const more = sent === '' ? '' : `, and from ${sent}`;
  return (
    `It continues from ${count} made on ${made}${more}: only what has changed since is stored.` +
    describeUnchanged(changes)
  );
}

function describeUnchanged(changes: ChangedQubes): string {
  const names = [...changes].flatMap(([name, since]) => (since === 'unchanged' ? [name] : []));
  if (names.length === 0) return '';
  return names.length === changes.size && names.length > 1
    ? ' No VM has changed.'
    : ` Unchanged: ${names.join(', ')}.`;
}

function bytesOf(files: readonly SeriesFile[]): number {
  return files.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** How much of a backup was new. */
export interface Changes {
  /** How many VMs have changed since the previous backup. */
  readonly changedVms: number;
  readonly allVms: number;
  /** Bytes of volumes that were stored, before compression. */
  readonly newBytes: number;
  /** Bytes of volumes that were already there, before compression. */
  readonly knownBytes: number;
}

/** `3 of 14 VMs changed; 212 MiB new, 41 GiB already there` */
export function describeChanges({ changedVms, allVms, newBytes, knownBytes }: Changes): string {
  const [fresh, old] = [newBytes, knownBytes].map((bytes) => formatSize(bytes));
  return `${changedVms} of ${allVms} VMs changed; ${fresh} new, ${old} already there`;
}

/** How much of a backup that was written was new. */
export function changesIn(
  { changed, maps, newChunks, grain }: WrittenFile,
  { qubes }: Pick<MeasuredPlan, 'qubes'>,
): Changes {
  const paths = new Set(maps.filter(({ origin }) => changed.has(origin)).map(({ path }) => path));
  const isChanged = (directory: string): boolean =>
    [...paths].some((path) => path.startsWith(`${directory}/`));
  const chunks = maps.reduce((sum, map) => sum + map.chunks, 0);
  return {
    changedVms: qubes.filter(({ directory }) => isChanged(directory)).length,
    allVms: qubes.length,
    newBytes: newChunks * grain,
    knownBytes: (chunks - newChunks) * grain,
  };
}

function wishesOf(flags: BackupFlags, { qubes }: MeasuredPlan): SeriesWishes {
  const filter = flags.compressFilter;
  const known = ['none', ...COFFER1_FILTERS] as const;
  const compressionFilter = known.find((each) => each === filter);
  if (filter !== undefined && compressionFilter === undefined) {
    throw new UsageError(`the format coffer-1 is not compressed with ${filter}`);
  }
  const sizes = qubes.flatMap(({ volumes }) => volumes.map(({ size }) => size));
  return {
    largestVolume: sizes.reduce((most, size) => Math.max(most, size), 0),
    full: flags.full === true,
    ...{ dedup: flags.dedup, encrypted: flags.encrypt, compressionFilter },
    kdf: flags.kdfCost === undefined ? undefined : scryptCost(flags.kdfCost),
  };
}
