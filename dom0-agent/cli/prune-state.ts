import { RefusedError } from '../../shared/errors.ts';
import { printable } from '../../shared/printable.ts';
import type { WholeSeries } from '../archive/coffer1/whole-series.ts';
import { describeStored } from '../backup/adopt-files.ts';
import { afterPrune, missingFiles } from '../backup/series-after-prune.ts';
import type { SeriesState } from '../backup/series-state.ts';
import type { SeriesStore } from '../backup/series-store.ts';
import type { PrunePlan } from '../forget/plan-prune.ts';
import type { PruneResult } from '../forget/run-prune.ts';

/** What dom0 knows about a series; undefined if it knows nothing. */
export async function stateOf(
  store: SeriesStore,
  { head }: WholeSeries,
): Promise<SeriesState | undefined> {
  return (await store.all()).find((state) => state.head.seriesId === head.seriesId);
}

/**
 * Throws RefusedError when a file that dom0 knows is not there. The storage may be withholding it: then data that only
 * this file needs would seem not to be needed at all.
 *
 * @param location the directory; dom0 may know the series in another one, of which this one has copies
 */
export function requireKnownFiles(
  state: SeriesState,
  { files }: WholeSeries,
  location: string,
): void {
  const missing = missingFiles(state, new Set(files.map(({ file }) => file.backupId)));
  if (missing.length === 0) return;
  const names = missing.map(({ fileName }) => printable(fileName)).join(', ');
  const [where, advice] =
    state.place === location
      ? ['', 'If they are lost, make a backup first: it records that']
      : [` in ${printable(state.place)}`, 'Copy them to this directory first'];
  throw new RefusedError(
    `the storage does not show ${names}, which dom0 knows of${where}: nothing is forgotten while files are missing. ` +
      advice,
  );
}

/**
 * Notes the packs that a prune has made and the files that it is about to delete, so that no later backup refers to
 * those. If that fails, nothing is noted.
 */
export async function notePrune(
  store: SeriesStore,
  state: SeriesState,
  { going }: PrunePlan,
  { last, packs }: Pick<PruneResult, 'last' | 'packs'>,
): Promise<void> {
  const gone = new Set(going.map(({ backupId }) => backupId));
  for (const { file, table, ids } of packs) {
    await store.write(state.head.seriesId, file.backupId, { table, ids, maps: [] });
  }
  // The newest file that dom0 knows of may have been forgotten before.
  const newest = last.sequence > state.last.sequence ? last : state.last;
  await store.save(afterPrune(state, { last: newest, added: packs.map(describeStored), gone }));
}
