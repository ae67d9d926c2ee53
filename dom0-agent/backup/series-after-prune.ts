import type { NamedFile } from '../archive/coffer1/manifest.ts';
import type { SeriesFile, SeriesState } from './series-state.ts';

/** What a prune changed, as far as dom0 records it. */
export interface PrunedSeries {
  /** The newest file now. */
  readonly last: NamedFile & { readonly sequence: number };
  /** New files, ascending by number. */
  readonly added: readonly SeriesFile[];
  /** Ids of files that were deleted, or will be: nothing may refer to them any more. */
  readonly gone: ReadonlySet<string>;
}

/** What dom0 knows about a series after it was pruned. */
export function afterPrune(state: SeriesState, { last, added, gone }: PrunedSeries): SeriesState {
  const isThere = ({ backupId }: SeriesFile): boolean => !gone.has(backupId);
  return {
    ...state,
    last,
    files: [...state.files.filter(isThere), ...added],
    maps: new Map([...state.maps].filter(([, backupId]) => !gone.has(backupId))),
  };
}

/** The files that dom0 knows and that are not there; the storage may be withholding them. */
export function missingFiles(state: SeriesState, there: ReadonlySet<string>): SeriesFile[] {
  return state.files.filter(({ backupId }) => !there.has(backupId));
}
