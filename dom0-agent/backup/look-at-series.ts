import { DamagedError, RefusedError } from '../../shared/errors.ts';
import { formatTime } from '../../shared/local-time.ts';
import { printable } from '../../shared/printable.ts';
import { Semaphore } from '../../shared/semaphore.ts';
import { formatSize } from '../../shared/sizes.ts';
import type { SigningSeries } from '../archive/coffer1/forget-list.ts';
import { type OpenedSeries, type SeriesHead, headOfSeries } from '../archive/coffer1/series.ts';
import { type FileOfSeries, openOfSeries } from '../archive/coffer1/open-series-file.ts';
import type { Listing, StoredFiles } from '../transport/storage.ts';
import { adoptFiles } from './adopt-files.ts';
import { givenUpIn } from './given-up.ts';
import { leftByBackups } from './left-by-backups.ts';
import { afterPrune } from './series-after-prune.ts';
import type { SeriesFile, SeriesState } from './series-state.ts';
import type { SeriesStore } from './series-store.ts';

/** The names that coffer gives files of a series. */
const OURS = /^qubes-(backup|pack|data)-.*(?<!\.partial)$/;
/** How many files are opened at the same time: the manifest of each is in memory, and may be large. */
const AT_ONCE = 2;
/** How many names a message lists. */
const MOST_NAMES = 3;

/** A series as its directory shows it. */
export interface SeriesLook {
  /** Including files that dom0 did not know. */
  readonly state: SeriesState;
  /** Files that are missing or truncated. */
  readonly lost: readonly SeriesFile[];
  /** Those of them that were neither moved into a pack nor known to be damaged. */
  readonly missed: readonly SeriesFile[];
  /** What the user should know, in sentences. */
  readonly remarks: readonly string[];
}

/**
 * Checks which files of a series are in its directory. Authentic files with higher numbers than dom0 knows are taken
 * over: another machine has made them, or dom0's state is out of date. Files with lower numbers are not, and neither
 * are those on a signed list of files to delete: they may have been pruned. If the newest one that is taken over has
 * another passphrase, the series has that passphrase from now on.
 *
 * @param directory undefined: nothing can be read there
 */
export async function lookAtSeries(
  store: SeriesStore,
  known: SeriesState,
  series: OpenedSeries,
  listing: Listing,
  directory: StoredFiles | undefined,
  signal: AbortSignal,
): Promise<SeriesLook> {
  const remarks: string[] = [];
  const gone = directory && (await givenUpIn(directory, namesIn(listing), signing(series)));
  const state = gone === undefined ? known : afterPrune(known, { ...known, added: [], gone });
  const unknown = directory && (await unknownFiles(directory, listing, state, series, signal));
  const renamed = withNames(state, unknown ?? [], listing);
  const isLater = ({ file }: FileOfSeries): boolean =>
    file.manifest.sequence > state.last.sequence && gone?.has(file.backupId) !== true;
  const later = (unknown ?? []).filter(isLater);
  const head = headAfter(renamed, later);
  if (head !== renamed.head) remarks.push(PASSPHRASE_CHANGED);
  const adoption = await adoptFiles(store, { ...renamed, head }, later);
  const left = leftByBackups(adoption.state.files);
  const strange = adoption.adopted.filter((file) => !left.includes(file));
  if (strange.length > 0) remarks.push(describeAdopted(strange));
  for (const { fileName, why } of adoption.damaged) {
    remarks.push(`${printable(fileName)} cannot be continued: ${why}`);
  }
  for (const fork of unknown ?? []) {
    if (fork.file.manifest.sequence !== state.last.sequence) continue;
    if (fork.file.backupId !== state.last.backupId) remarks.push(describeFork(fork, renamed));
  }
  const lost = lostFiles(adoption.state, listing);
  const moved = new Set(
    later.flatMap(({ file }) => file.manifest.holds.map(({ backupId }) => backupId)),
  );
  const missed = lost.filter(
    ({ backupId, check }) => !moved.has(backupId) && check?.result !== 'damaged',
  );
  return { state: adoption.state, lost, missed, remarks };
}

const PASSPHRASE_CHANGED =
  'another machine has changed the passphrase of this series: this backup and all later ones have the new one';

/** How the series' key is wrapped from now on: as in the newest file, including those that dom0 did not know. */
function headAfter({ head, last }: SeriesState, later: readonly FileOfSeries[]): SeriesHead {
  let newest = last.sequence;
  let wrapped = head;
  for (const { file } of later) {
    if (file.manifest.sequence <= newest) continue;
    newest = file.manifest.sequence;
    wrapped = headOfSeries(file.opened.header);
  }
  return wrapped.wrappedKeyMac.equals(head.wrappedKeyMac) ? head : wrapped;
}

function namesIn({ entries }: Listing): string[] {
  return entries.filter(({ kind }) => kind === 'FILE').map(({ untrustedName }) => untrustedName);
}

/** The names of the series' files that dom0 does not know under these names. */
export function unknownNames(listing: Listing, files: readonly SeriesFile[]): string[] {
  const known = new Set(files.map(({ fileName }) => fileName));
  return namesIn(listing).filter((name) => OURS.test(name) && !known.has(name));
}

function signing({ key, seriesId }: OpenedSeries): SigningSeries {
  return { key, head: { seriesId } };
}

/** The files of the series that dom0 does not know under their names, without damaged ones; of copies only one. */
async function unknownFiles(
  directory: StoredFiles,
  listing: Listing,
  { files }: SeriesState,
  series: OpenedSeries,
  signal: AbortSignal,
): Promise<FileOfSeries[]> {
  const names = unknownNames(listing, files);
  const opening = new Semaphore(AT_ONCE);
  const open = async (untrustedName: string): Promise<FileOfSeries | undefined> => {
    try {
      return await openOfSeries(directory, untrustedName, series, signal);
    } catch (error) {
      if (error instanceof DamagedError || error instanceof RefusedError) return undefined;
      throw error;
    }
  };
  const opened = await Promise.all(names.map((name) => opening.run(() => open(name))));
  const distinct = new Map<string, FileOfSeries>();
  for (const each of opened) {
    if (each !== undefined && !distinct.has(each.file.backupId)) {
      distinct.set(each.file.backupId, each);
    }
  }
  return [...distinct.values()];
}

/** The state with the new names of files that were renamed. */
function withNames(
  state: SeriesState,
  unknown: readonly FileOfSeries[],
  { entries }: Listing,
): SeriesState {
  const present = new Set(entries.map(({ untrustedName }) => untrustedName));
  const byId = new Map(unknown.map((stored) => [stored.file.backupId, stored]));
  const renamed = (file: SeriesFile): SeriesFile => {
    const stored = byId.get(file.backupId);
    const isIt = stored?.file.manifestMac === file.mac && !present.has(file.fileName);
    return isIt ? { ...file, fileName: stored.untrustedName } : file;
  };
  return { ...state, files: state.files.map(renamed) };
}

/** The files that are missing from the directory, or shorter than they were; none if the listing is incomplete. */
function lostFiles({ files }: SeriesState, { entries, truncated }: Listing): SeriesFile[] {
  if (truncated) return [];
  const sizes = new Map(
    entries.flatMap(({ untrustedName, kind, size }) =>
      kind === 'FILE' ? [[untrustedName, size] as const] : [],
    ),
  );
  return files.filter(({ fileName, bytes }) => (sizes.get(fileName) ?? 0) < bytes);
}

/** A sentence for the user about lost files; undefined when nothing is lost. */
export function describeLost(
  lost: readonly SeriesFile[],
  { place, last }: Pick<SeriesState, 'place' | 'last'>,
): string | undefined {
  if (lost.length === 0) return undefined;
  const bytes = lost.reduce((sum, file) => sum + file.bytes, 0);
  const newest = lost.find(({ backupId }) => backupId === last.backupId);
  const rollback =
    newest === undefined
      ? ''
      : ` Among them is the newest, number ${newest.sequence} of ${formatTime(new Date(1000 * newest.made))}: ` +
        'the storage may have been rolled back to an older state.';
  return (
    `the storage has lost files of this series in ${place}: ${namesOf(lost)} ` +
    `(${formatSize(bytes)}) are missing, cut short or changed.${rollback} What is still needed of them is stored again; ` +
    'older backups that need them cannot be restored completely'
  );
}

function describeAdopted(adopted: readonly SeriesFile[]): string {
  return (
    `dom0 did not know of ${namesOf(adopted)}: another machine has stored them, or dom0's records are out of date. ` +
    'They are authentic, and this backup continues from them'
  );
}

function describeFork({ untrustedName, file }: FileOfSeries, { files }: SeriesState): string {
  const { sequence } = file.manifest;
  const own = files.find((each) => each.sequence === sequence)?.fileName ?? 'another file';
  return (
    `${printable(untrustedName)} and ${printable(own)} both have number ${sequence} in their series: two machines have ` +
    'backed up at the same time. Both can be restored; this backup continues from the second one'
  );
}

function namesOf(files: readonly SeriesFile[]): string {
  const names = files.map(({ fileName }) => printable(fileName));
  const more = names.length - MOST_NAMES;
  return [...names.slice(0, MOST_NAMES), ...(more > 0 ? [`${more} more`] : [])].join(', ');
}
