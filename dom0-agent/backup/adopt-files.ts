import { DamagedError } from '../../shared/errors.ts';
import { INCOMPLETE } from '../archive/archive.ts';
import { IDS_PATH } from '../archive/coffer1/member-paths.ts';
import type { PartsTable } from '../archive/coffer1/parts-table.ts';
import type { FileOfSeries } from '../archive/coffer1/open-series-file.ts';
import { type VolumeMap, mapPath, parseMap } from '../archive/coffer1/volume-map.ts';
import type { SeriesFile, SeriesState } from './series-state.ts';
import type { SeriesStore } from './series-store.ts';

/** What dom0 keeps about a file, read from the file itself. */
interface KnownFile {
  readonly file: SeriesFile;
  readonly table: PartsTable;
  readonly ids: AsyncIterable<Buffer>;
  readonly maps: readonly VolumeMap[];
}

/** The result of taking over files. */
export interface Adoption {
  readonly state: SeriesState;
  readonly adopted: readonly SeriesFile[];
  /** Files of the series that are damaged: nothing will refer to them. */
  readonly damaged: readonly { readonly fileName: string; readonly why: string }[];
}

/**
 * Takes over files that somebody else has stored, or that dom0 has forgotten: afterwards it knows the same about them
 * as if it had made them. The state names them only once all that dom0 keeps about them is written.
 *
 * @param state what is known so far
 * @param found files with authenticated headers and manifests
 */
export async function adoptFiles(
  store: SeriesStore,
  state: SeriesState,
  found: readonly FileOfSeries[],
): Promise<Adoption> {
  const { seriesId } = state.head;
  const adopted: SeriesFile[] = [];
  const damaged: { fileName: string; why: string }[] = [];
  const maps = new Map<string, string>();
  let dedup = state.dedup;
  const numbers = new Map(state.files.map(({ backupId, sequence }) => [backupId, sequence]));
  const isLater = ({ origin }: VolumeMap, { sequence }: SeriesFile): boolean =>
    !maps.has(origin) && sequence > (numbers.get(state.maps.get(origin) ?? '') ?? 0);
  // The newest first: only the last map of each volume is needed.
  for (const stored of found.toSorted(byNumber).reverse()) {
    try {
      const { file, table, ids, maps: own } = await knownFrom(stored);
      const last = own.filter((map) => isLater(map, file));
      await store.write(seriesId, file.backupId, { table, ids, maps: last });
      for (const { origin } of last) maps.set(origin, file.backupId);
      if (own.some(({ domain }) => domain === 'all')) dedup = 'all';
      adopted.unshift(file);
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error;
      damaged.push({ fileName: stored.untrustedName, why: error.message });
    }
  }
  const newest = adopted.at(-1);
  if (newest === undefined) return { state, adopted, damaged };
  const { backupId, mac, sequence } = newest;
  const last = sequence > state.last.sequence ? { backupId, mac, sequence } : state.last;
  const next: SeriesState = {
    ...{ ...state, dedup, last },
    files: [...state.files, ...adopted].sort((one, other) => one.sequence - other.sequence),
    maps: new Map([...state.maps, ...maps]),
  };
  await store.save(next);
  return { state: next, adopted, damaged };
}

function byNumber({ file: one }: FileOfSeries, { file: other }: FileOfSeries): number {
  return one.manifest.sequence - other.manifest.sequence;
}

/** Reads the table and the maps of a file. Throws DamagedError, also when the ids are read later. */
async function knownFrom(stored: FileOfSeries): Promise<KnownFile> {
  const { file } = stored;
  const { table } = await file.parts();
  const maps: VolumeMap[] = [];
  const incomplete = new Set(
    file.manifest.files.flatMap(({ path }) =>
      path.endsWith(`/${INCOMPLETE}`) ? [path.slice(0, -INCOMPLETE.length)] : [],
    ),
  );
  for (const { path, volume } of file.manifest.files) {
    const directory = path.slice(0, path.lastIndexOf('/') + 1);
    if (volume === undefined || incomplete.has(directory)) continue;
    maps.push(await parseMap(file.contentOf(mapPath(path)), path, file.opened.header.grain));
  }
  return { file: describeStored(stored), table, ids: file.contentOf(IDS_PATH), maps };
}

/** A file as its header and its manifest describe it. */
export function describeStored({ file, untrustedName }: FileOfSeries): SeriesFile {
  const { header } = file.opened;
  const { sequence, made, needs } = file.manifest;
  return {
    ...{ backupId: file.backupId, mac: file.manifestMac, sequence, kind: header.kind },
    ...{ fileName: untrustedName, bytes: file.input.size, grain: header.grain },
    made: Math.floor(new Date(made).getTime() / 1000),
    needs: needs.map(({ backupId }) => backupId),
  };
}
