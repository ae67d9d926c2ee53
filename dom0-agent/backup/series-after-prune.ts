import type { NamedFile } from '../archive/coffer1/manifest.ts';
import type { SeriesFile, SeriesState } from './series-state.ts';

/** What a prune changed, as far as dom0 keeps it. */
export interface PrunedSeries {
  /** The newest file now. */
  readonly last: NamedFile & { readonly sequence: number };
  /** Files that were made, ascending. */
  readonly added: readonly SeriesFile[];
  /** Ids of those that are gone, or will be: nothing may refer to them any more. */
  readonly gone: ReadonlySet<string>;
}

/** What dom0 knows of a series once it was pruned. */
export function afterPrune(state: SeriesState, { last, added, gone }: PrunedSeries): SeriesState {
  const isThere = ({ backupId }: SeriesFile): boolean => !gone.has(backupId);
  return {
    ...state,
    last,
    files: [...state.files.filter(isThere), ...added],
    maps: new Map([...state.maps].filter(([, backupId]) => !gone.has(backupId))),
  };
}

/** The files that dom0 knows of and that are not among these; they may have been withheld. */
export function missingFiles(state: SeriesState, there: ReadonlySet<string>): SeriesFile[] {
  return state.files.filter(({ backupId }) => !there.has(backupId));
}
