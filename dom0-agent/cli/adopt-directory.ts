import type { OpenedDirectory } from '../../shared/byte-streams.ts';
import { DamagedError } from '../../shared/errors.ts';
import { type FoundSeries, openEachSeries } from '../archive/coffer1/whole-series.ts';
import { type Adoption, adoptFiles } from '../backup/adopt-files.ts';
import { givenUpIn } from '../backup/given-up.ts';
import type { SeriesState } from '../backup/series-state.ts';
import type { SeriesStore } from '../backup/series-store.ts';
import type { Listing } from '../transport/storage.ts';
import { byNameNewestFirst } from './siblings.ts';

/** A directory with backups. */
export interface BackupsPlace {
  readonly files: OpenedDirectory;
  readonly listing: Listing;
  /** For people, and as the place of its series: `sys-usb:/home/user/backups`. */
  readonly location: string;
}

/** What dom0 now knows about a series; nothing, with no files, if all of them are damaged. */
export interface Adopted extends Adoption {
  /** The highest number that it knew before; 0 when it did not know the series. */
  readonly knewUpTo: number;
}

/**
 * Takes over all series in a directory that the passphrase opens: afterwards dom0 knows the same about them as if it
 * had made all their files. To be run under the lock for the directory, so that no backup continues a series meanwhile.
 *
 * @param passphrase is wiped
 * @throws RefusedError when there is no backup in coffer's own format; WrongPassphraseError when the passphrase opens
 *   none; DamagedError when no backup is complete
 */
export async function adoptDirectory(
  store: SeriesStore,
  { files, listing, location }: BackupsPlace,
  passphrase: Buffer,
  signal: AbortSignal,
): Promise<Adopted[]> {
  const names = namesIn(listing);
  const adopted: Adopted[] = [];
  for (const series of await openEachSeries(files, names, passphrase, signal)) {
    const givenUp = await givenUpIn(files, names, series);
    adopted.push(await adopt(store, series, givenUp, location));
  }
  if (adopted.some(({ state }) => state.files.length > 0)) return adopted;
  const [first] = adopted.flatMap(({ damaged }) => damaged);
  throw new DamagedError(
    `no backup in ${location} is complete${first === undefined ? '' : ` (${first.why})`}`,
  );
}

/** @param givenUp ids of files that will be deleted */
async function adopt(
  store: SeriesStore,
  series: FoundSeries,
  givenUp: ReadonlySet<string>,
  place: string,
): Promise<Adopted> {
  const { seriesId } = series.head;
  // Only a file that can be used shows that a series that dom0 knows is here.
  const isHere = series.files.length > 0;
  const known = (await store.all()).find((state) => isHere && state.head.seriesId === seriesId);
  const ids = new Set(known?.files.map(({ backupId }) => backupId));
  const unknown = series.files.filter(
    ({ file }) => !ids.has(file.backupId) && !givenUp.has(file.backupId),
  );
  // A newer file has the current passphrase; otherwise, it may have been changed here since.
  const isNewer = unknown.some(({ file }) => file.manifest.sequence > (known?.last.sequence ?? 0));
  const head = known === undefined || isNewer ? series.head : known.head;
  const before = { ...(known ?? unknownSeries(series)), head, place };
  const adoption = await adoptFiles(store, before, unknown);
  if (adoption.adopted.length === 0 && known !== undefined) await store.save(before);
  const damaged = [
    ...series.damaged.map(({ untrustedName, why }) => ({ fileName: untrustedName, why })),
    ...adoption.damaged,
  ];
  return { ...adoption, damaged, knewUpTo: known?.last.sequence ?? 0 };
}

/** The state of a series of which dom0 does not know any file yet. */
function unknownSeries({ head, files }: FoundSeries): SeriesState {
  const header = files.at(-1)?.file.opened.header;
  return {
    ...{ head, place: '', dedup: 'domain', encrypted: header?.encrypted ?? true },
    ...{ compressionFilter: header?.compressionFilter, files: [], maps: new Map() },
    last: { backupId: '', mac: '', sequence: 0 },
  };
}

function namesIn({ entries }: Listing): string[] {
  return entries
    .filter(({ kind }) => kind === 'FILE')
    .toSorted(byNameNewestFirst)
    .map(({ untrustedName }) => untrustedName);
}
