import type { Patience } from '../qubes/file-lock.ts';
import type { BackupCheck } from './backup-record.ts';
import type { SeriesFile, SeriesState } from './series-state.ts';
import type { SeriesStore } from './series-store.ts';

/** The share of all bytes that one run of `--rolling` reads at least: everything, if it is run daily for a month. */
const SHARE = 1 / 30;

/**
 * The files that were checked longest ago, about a thirtieth of all bytes; those that were never checked come first.
 */
export function checkedLongestAgo(files: readonly SeriesFile[], now: Date): SeriesFile[] {
  const all = files.reduce((sum, { bytes }) => sum + bytes, 0);
  const due = files.toSorted((one, other) => lastCheck(one, now) - lastCheck(other, now));
  const chosen: SeriesFile[] = [];
  let bytes = 0;
  for (const file of due) {
    if (bytes >= SHARE * all) break;
    chosen.push(file);
    bytes += file.bytes;
  }
  return chosen;
}

/**
 * Since when, in seconds since 1970, every file of the series has been checked at least once; undefined if some were
 * never checked.
 */
export function allCheckedSince({ files }: SeriesState, now: Date): number | undefined {
  const oldest = Math.min(...files.map((file) => lastCheck(file, now)));
  return Number.isFinite(oldest) && oldest > 0 ? oldest : undefined;
}

/**
 * Notes the results of checking files of a series. Files that dom0 does not know are skipped. If it knows the series in
 * another place, these are copies, and nothing is noted.
 *
 * @param place the directory that the files are in
 * @param checks by the ids of files
 * @param patience how to wait for another process that is changing the series
 */
export async function noteFileChecks(
  store: SeriesStore,
  seriesId: string,
  place: string,
  checks: ReadonlyMap<string, BackupCheck>,
  patience: Patience,
): Promise<void> {
  const find = async (): Promise<SeriesState | undefined> =>
    (await store.all()).find((each) => each.head.seriesId === seriesId && each.place === place);
  const known = await find();
  if (!known?.files.some(({ backupId }) => checks.has(backupId))) return;
  const note = async (): Promise<void> => {
    // A backup may have been added to the series in the meantime.
    const state = (await find()) ?? known;
    const files = state.files.map((file) => {
      const check = checks.get(file.backupId) ?? file.check;
      return check === undefined ? file : { ...file, check };
    });
    await store.save({ ...state, files });
  };
  await store.whileLocked(place, note, patience);
}

/** 0: it was never checked, or nobody knows when, since the clock was ahead. */
function lastCheck({ check }: SeriesFile, now: Date): number {
  return check === undefined || 1000 * check.at > now.getTime() ? 0 : check.at;
}
