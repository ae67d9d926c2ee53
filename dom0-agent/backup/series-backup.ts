import { UsageError, WrongPassphraseError } from '../../shared/errors.ts';
import { type Coffer1Filter, type Cut, cutFor } from '../archive/coffer1/coffer1-header.ts';
import type { EarlierFiles } from '../archive/coffer1/earlier-files.ts';
import { type NextFile, type OpenedSeries, beginSeries, newId } from '../archive/coffer1/series.ts';
import type { SeriesKeys } from '../archive/coffer1/series-keys.ts';
import type { WrittenData } from '../archive/coffer1/data-files.ts';
import { openRewrapped } from '../archive/coffer1/whole-series.ts';
import type { WrittenFile } from '../archive/coffer1/write-coffer1.ts';
import type { ScryptCost } from '../archive/scrypt-cost.ts';
import type { Listing, StoredFiles } from '../transport/storage.ts';
import { leftByBackups } from './left-by-backups.ts';
import { describeLost, lookAtSeries, unknownNames } from './look-at-series.ts';
import { probeSeries } from './probe-series.ts';
import type { BackupCheck } from './backup-record.ts';
import type { Dedup, Effort, SeriesFile, SeriesState } from './series-state.ts';
import type { SeriesStore } from './series-store.ts';

/** What the user asks for, as far as the series is concerned. Undefined: as in the series. */
export interface SeriesWishes {
  /** The size of the largest volume, in bytes. */
  readonly largestVolume: number;
  /** A backup that needs no other file. */
  readonly full: boolean;
  readonly dedup: Dedup | undefined;
  readonly encrypted: boolean;
  readonly compressionFilter: Coffer1Filter | 'none' | undefined;
  readonly kdf: ScryptCost | undefined;
}

/** The settings of a new series where nothing else is asked for. */
export interface SeriesDefaults {
  readonly place: string;
  readonly compressionFilter: Coffer1Filter;
  readonly kdf: ScryptCost;
}

/** What dom0 knows about a series, and where that is stored. */
export interface KnownSeries {
  readonly store: SeriesStore;
  readonly known: SeriesState;
}

/** What is in the directory of a series now. */
export interface SeriesDirectory {
  readonly listing: Listing;
  /** Undefined: nothing can be read there. */
  readonly directory: StoredFiles | undefined;
}

/** A backup that is added to a series. */
export interface SeriesBackup {
  readonly file: NextFile;
  /** Undefined: the series begins with it. */
  readonly state: SeriesState | undefined;
  /** Files of the series that the storage has lost. */
  readonly lost: readonly SeriesFile[];
  /** What interrupted backups have left, and this one continues from. */
  readonly left: readonly SeriesFile[];
  /** What the user should know about the series, in sentences. */
  readonly remarks: readonly string[];
  readonly cut: Cut;
  readonly settings: Pick<SeriesState, 'place' | 'dedup' | 'encrypted' | 'compressionFilter'>;
}

/**
 * Opens the series that a backup continues. Throws WrongPassphraseError, UsageError for something that only a new
 * series can have, and StorageError.
 *
 * @param passphrase is wiped
 * @param keys in which the key may be known already, or be derived
 */
export async function continueSeries(
  { store, known }: KnownSeries,
  wishes: SeriesWishes,
  passphrase: Buffer,
  { listing, directory }: SeriesDirectory,
  keys: SeriesKeys,
  signal: AbortSignal,
): Promise<SeriesBackup> {
  refuseOtherSettings(known, wishes);
  const opened = await openKnown(known, passphrase, { listing, directory }, keys, signal);
  const look = await lookAtSeries(store, known, opened, listing, directory, signal);
  const { state } = look;
  const series = { ...opened, head: Promise.resolve(state.head) };
  const isOwn = (await opened.head).wrappedKeyMac.equals(known.head.wrappedKeyMac);
  // The file with that passphrase is not one that the series can be continued from.
  if (!isOwn && state.head === known.head) throw new WrongPassphraseError(WRONG);
  const lastGrain = state.files.findLast(({ kind }) => kind !== 'pack')?.grain;
  const cut = cutFor(wishes.largestVolume, lastGrain);
  const isUsable = (each: SeriesFile): boolean =>
    each.grain === cut.grain && !look.lost.includes(each) && each.check?.result !== 'damaged';
  const there = wishes.full ? undefined : await store.earlierFiles(state, isUsable);
  const changed =
    there === undefined || directory === undefined
      ? []
      : await changedFiles(store, state, series, there, directory, signal);
  const isChanged = ({ backupId }: { readonly backupId: string }): boolean =>
    changed.some((file) => file.backupId === backupId);
  const earlier = there && { ...there, files: there.files.filter((file) => !isChanged(file)) };
  const loss = describeLost([...look.missed, ...changed], state);
  const remarks = loss === undefined ? look.remarks : [...look.remarks, loss];
  const lost = [...look.lost, ...changed];
  const { backupId, mac, sequence } = state.last;
  const file = {
    ...{ series, backupId: newId(), sequence: sequence + 1, previous: { backupId, mac }, earlier },
  };
  const usable = new Set(earlier?.files.map((each) => each.backupId));
  const left = leftByBackups(state.files).filter((each) => usable.has(each.backupId));
  return { file, state, lost, left, remarks, cut, settings: state };
}

const WRONG = 'the passphrase is wrong';

/** Opens a series, also if another machine has changed its passphrase. Throws WrongPassphraseError. */
async function openKnown(
  { head, files }: SeriesState,
  passphrase: Buffer,
  { listing, directory }: SeriesDirectory,
  keys: SeriesKeys,
  signal: AbortSignal,
): Promise<OpenedSeries> {
  const copy = Buffer.from(passphrase);
  const { seriesId } = head;
  try {
    return { seriesId, key: await keys.open(head, passphrase), head: Promise.resolve(head) };
  } catch (error) {
    if (!(error instanceof WrongPassphraseError) || directory === undefined) throw error;
    const names = unknownNames(listing, files);
    const opened = await openRewrapped(directory, names, seriesId, copy, signal);
    if (opened === undefined) throw error;
    return opened;
  } finally {
    copy.fill(0);
  }
}

/** The files that are no longer as they were stored, as far as a random sample shows. */
async function changedFiles(
  store: SeriesStore,
  state: SeriesState,
  { key }: OpenedSeries,
  { files }: EarlierFiles,
  directory: StoredFiles,
  signal: AbortSignal,
): Promise<SeriesFile[]> {
  const known = files.flatMap(({ backupId, table }) => {
    const file = state.files.find((each) => each.backupId === backupId);
    return file === undefined ? [] : [{ file, table }];
  });
  return await probeSeries(directory, key, known, await store.lastMaps(state), signal);
}

/**
 * Begins a series.
 *
 * @param passphrase is wiped once the key is derived
 * @param isLong the backup is stored in several files, so that what was sent is kept if it is interrupted
 */
export function beginSeriesOfBackups(
  wishes: SeriesWishes,
  defaults: SeriesDefaults,
  passphrase: Buffer,
  isLong: boolean,
): SeriesBackup {
  const { dedup = 'domain', encrypted, compressionFilter = defaults.compressionFilter } = wishes;
  const series = beginSeries(passphrase, wishes.kdf ?? defaults.kdf);
  // The first backup of a series has no earlier chunks: if it is one file, duplicates are only worth looking for when
  // all volumes share a domain.
  const earlier =
    wishes.full || (dedup === 'domain' && !isLong)
      ? undefined
      : { files: [], lastMap: () => Promise.resolve(undefined) };
  return {
    file: { series, backupId: newId(), sequence: 1, previous: undefined, earlier },
    state: undefined,
    lost: [],
    left: [],
    remarks: [],
    cut: cutFor(wishes.largestVolume),
    settings: {
      ...{ place: defaults.place, dedup, encrypted },
      compressionFilter: compressionFilter === 'none' ? undefined : compressionFilter,
    },
  };
}

/** A file as it was stored. */
export interface NewSeriesFile {
  readonly fileName: string;
  readonly bytes: number;
  /** When the backup was begun. */
  readonly made: Date;
  readonly check: BackupCheck | undefined;
  readonly effort?: Effort;
}

/**
 * Notes a file of the kind data that was stored, so that the next backup can continue from it.
 *
 * @param onFailure called when it cannot be noted
 */
export async function noteDataInSeries(
  store: SeriesStore,
  series: SeriesBackup,
  written: WrittenData,
  stored: NewSeriesFile,
  onFailure: (error: unknown) => void,
): Promise<{ readonly state: SeriesState; readonly file: SeriesFile }> {
  const file = describeNew('data', written, stored, []);
  const state = await stateWith(series, file);
  await store.add(state, { ...written, maps: [] }, file.backupId).catch(onFailure);
  return { state, file };
}

/**
 * Notes a backup that was stored, so that the next one can continue from it. Throws FailedError.
 *
 * @param series including what was noted since it was opened
 * @param checks results of checking its files, by their ids; if one is damaged, nothing will refer to it, nor to the
 *   maps of this backup
 * @param broken the origins of volumes that are incomplete in it
 */
export async function noteInSeries(
  store: SeriesStore,
  series: SeriesBackup,
  written: WrittenFile,
  stored: NewSeriesFile,
  checks: ReadonlyMap<string, BackupCheck>,
  broken: ReadonlySet<string>,
): Promise<void> {
  const added = describeNew('backup', written, stored, written.needs);
  const isDamaged = [...checks.values()].some(({ result }) => result === 'damaged');
  const whole = written.maps.filter(({ origin }) => !isDamaged && !broken.has(origin));
  const { files, maps, ...next } = await stateWith(series, added);
  const checked = files
    .filter(({ backupId }) => !series.lost.some((each) => each.backupId === backupId))
    .map((each) => ({ ...each, check: checks.get(each.backupId) ?? each.check }));
  const last = whole.map(({ origin }) => [origin, added.backupId] as const);
  const all = { ...next, files: checked, maps: new Map([...maps, ...last]) };
  await store.add(all, written, added.backupId);
}

function describeNew(
  kind: SeriesFile['kind'],
  { name, sequence, grain }: Pick<WrittenFile, 'name' | 'sequence' | 'grain'>,
  { fileName, bytes, made, check, effort }: NewSeriesFile,
  needs: readonly string[],
): SeriesFile {
  const seconds = Math.floor(made.getTime() / 1000);
  return { ...name, sequence, kind, fileName, bytes, grain, made: seconds, needs, check, effort };
}

/** What is known about the series with one more file. */
async function stateWith(
  { file, state, settings }: SeriesBackup,
  added: SeriesFile,
): Promise<SeriesState> {
  const { place, dedup, encrypted, compressionFilter } = settings;
  const { backupId, mac, sequence } = added;
  return {
    ...{ head: await file.series.head, place, dedup, encrypted, compressionFilter },
    ...{ last: { backupId, mac, sequence }, files: [...(state?.files ?? []), added] },
    maps: state?.maps ?? new Map<string, string>(),
  };
}

/** Throws UsageError for something that only a new series can have. */
export function refuseOtherSettings(state: SeriesState, wishes: SeriesWishes): void {
  const refuse = (what: string): never => {
    throw new UsageError(
      `the series of backups in ${state.place} ${what}: begin a new one with --new-series, or leave that option out`,
    );
  };
  const { dedup, encrypted, compressionFilter, kdf } = wishes;
  if (dedup !== undefined && dedup !== state.dedup) {
    refuse(state.dedup === 'all' ? 'was begun with --dedup all' : 'was begun without --dedup all');
  }
  if (encrypted && !state.encrypted) {
    throw new UsageError(
      `the series of backups in ${state.place} is not encrypted: begin an encrypted one with --new-series, or use --no-encrypt`,
    );
  }
  if (!encrypted && state.encrypted) refuse('is encrypted');
  const filter = state.compressionFilter ?? 'none';
  if (compressionFilter !== undefined && compressionFilter !== filter) {
    refuse(`is compressed with ${filter}`);
  }
  if (kdf !== undefined && kdf.n !== state.head.kdf.n) {
    refuse(`has --kdf-cost ${Math.log2(state.head.kdf.n)}`);
  }
}
