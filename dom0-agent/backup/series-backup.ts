import { UsageError } from '../../shared/errors.ts';
import { formatSize } from '../../shared/sizes.ts';
import { type Coffer1Filter, type Cut, cutFor } from '../archive/coffer1/coffer1-header.ts';
import { type NextFile, beginSeries, newId, openSeries } from '../archive/coffer1/series.ts';
import type { WrittenFile } from '../archive/coffer1/write-coffer1.ts';
import type { ScryptCost } from '../archive/scrypt-cost.ts';
import type { Listing } from '../transport/storage.ts';
import type { Dedup, SeriesFile, SeriesState } from './series-state.ts';
import type { SeriesStore } from './series-store.ts';

/** What is asked of a backup in a directory, as far as its series is concerned. Undefined: what the series has. */
export interface SeriesWishes {
  /** A backup that needs no other file. */
  readonly full: boolean;
  readonly dedup: Dedup | undefined;
  readonly encrypted: boolean;
  readonly compressionFilter: Coffer1Filter | 'none' | undefined;
  readonly kdf: ScryptCost | undefined;
}

/** What a series begins with where nothing else is asked for. */
export interface SeriesDefaults {
  readonly place: string;
  readonly compressionFilter: Coffer1Filter;
  readonly kdf: ScryptCost;
}

/** A backup that goes into a series, and what that is then known by. */
export interface SeriesBackup {
  readonly file: NextFile;
  /** Undefined: the series begins with it. */
  readonly state: SeriesState | undefined;
  /** Files of the series that the storage has lost. */
  readonly lost: readonly SeriesFile[];
  readonly cut: Cut;
  readonly settings: Pick<SeriesState, 'place' | 'dedup' | 'encrypted' | 'compressionFilter'>;
}

/**
 * Opens the series that a backup goes on with. Throws WrongPassphraseError, and UsageError when something is asked for
 * that only a new series can have.
 *
 * @param passphrase is wiped
 * @param listing what is in the directory now
 * @param largestVolume in bytes
 */
export async function continueSeries(
  store: SeriesStore,
  state: SeriesState,
  wishes: SeriesWishes,
  passphrase: Buffer,
  { listing, largestVolume }: { readonly listing: Listing; readonly largestVolume: number },
): Promise<SeriesBackup> {
  refuseOtherSettings(state, wishes);
  const series = await openSeries(state.head, passphrase);
  const lost = lostFiles(state, listing);
  const lastGrain = state.files.findLast(({ kind }) => kind === 'backup')?.grain;
  const cut = cutFor(largestVolume, lastGrain);
  const earlier = wishes.full
    ? undefined
    : await store.earlierFiles(state, (each) => each.grain === cut.grain && !lost.includes(each));
  const { backupId, mac, sequence } = state.last;
  const file = {
    ...{ series, backupId: newId(), sequence: sequence + 1, previous: { backupId, mac }, earlier },
  };
  return { file, state, lost, cut, settings: state };
}

/** Begins a series. @param passphrase is wiped once the key is derived */
export function beginSeriesOfBackups(
  wishes: SeriesWishes,
  defaults: SeriesDefaults,
  passphrase: Buffer,
  largestVolume: number,
): SeriesBackup {
  const { dedup = 'domain', encrypted, compressionFilter = defaults.compressionFilter } = wishes;
  const series = beginSeries(passphrase, wishes.kdf ?? defaults.kdf);
  // Only what shares a domain is worth looking for in the first file of a series.
  const earlier =
    dedup === 'domain' || wishes.full
      ? undefined
      : { files: [], lastMap: () => Promise.resolve(undefined) };
  return {
    file: { series, backupId: newId(), sequence: 1, previous: undefined, earlier },
    state: undefined,
    lost: [],
    cut: cutFor(largestVolume),
    settings: {
      ...{ place: defaults.place, dedup, encrypted },
      compressionFilter: compressionFilter === 'none' ? undefined : compressionFilter,
    },
  };
}

/**
 * Notes a backup that was stored, so that the next one can go on from it.
 *
 * @param made when it was begun
 * @param broken the origins of volumes that are not whole in it
 */
export async function noteInSeries(
  store: SeriesStore,
  { file, state, lost, settings }: SeriesBackup,
  written: WrittenFile,
  stored: { readonly fileName: string; readonly bytes: number; readonly made: Date },
  broken: ReadonlySet<string>,
): Promise<void> {
  const { backupId, mac } = written.name;
  const added: SeriesFile = {
    ...{ backupId, mac, sequence: file.sequence, kind: 'backup' },
    ...{ fileName: stored.fileName, bytes: stored.bytes, grain: written.grain },
    made: Math.floor(stored.made.getTime() / 1000),
    needs: written.needs,
  };
  const whole = written.maps.filter(({ origin }) => !broken.has(origin));
  const { place, dedup, encrypted, compressionFilter } = settings;
  const next: SeriesState = {
    ...{ head: await file.series.head, place, dedup, encrypted, compressionFilter },
    last: { backupId, mac, sequence: file.sequence },
    files: [...(state?.files ?? []).filter((each) => !lost.includes(each)), added],
    maps: new Map([
      ...(state?.maps ?? []),
      ...whole.map(({ origin }) => [origin, backupId] as const),
    ]),
  };
  await store.add(next, written, backupId);
}

/** The files that are not in the directory, or shorter than they were. A listing that is not whole tells of none. */
function lostFiles({ files }: SeriesState, { entries, truncated }: Listing): SeriesFile[] {
  if (truncated) return [];
  const sizes = new Map(
    entries.flatMap(({ untrustedName, kind, size }) =>
      kind === 'FILE' ? [[untrustedName, size] as const] : [],
    ),
  );
  return files.filter(({ fileName, bytes }) => (sizes.get(fileName) ?? 0) < bytes);
}

/** In words for the user; undefined when nothing is lost. */
export function describeLost(lost: readonly SeriesFile[], place: string): string | undefined {
  if (lost.length === 0) return undefined;
  const names = lost.map(({ fileName }) => fileName);
  const shown = names.length > 3 ? [...names.slice(0, 3), `${names.length - 3} more`] : names;
  const bytes = lost.reduce((sum, file) => sum + file.bytes, 0);
  return (
    `the storage has lost files of this series in ${place}: ${shown.join(', ')} ` +
    `(${formatSize(bytes)}) are missing or cut short. What is still in use of them is stored again; ` +
    'older backups that need them cannot be restored whole'
  );
}

function refuseOtherSettings(state: SeriesState, wishes: SeriesWishes): void {
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
      `the series of backups in ${state.place} is not encrypted: begin one that is with --new-series, or say --no-encrypt`,
    );
  }
  if (!encrypted && state.encrypted) refuse('is encrypted');
  const filter = state.compressionFilter ?? 'none';
  if (compressionFilter !== undefined && compressionFilter !== filter) {
    refuse(`is compressed with ${filter}`);
  }
  if (kdf !== undefined && kdf.n !== state.head.kdf.n) {
    refuse(`has the cost ${Math.log2(state.head.kdf.n)} of guessing its passphrase`);
  }
}
