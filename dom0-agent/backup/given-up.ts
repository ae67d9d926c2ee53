import type { OpenedDirectory } from '../../shared/byte-streams.ts';
import { DamagedError, RefusedError } from '../../shared/errors.ts';
import { MiB } from '../../shared/sizes.ts';
import { type SigningSeries, isForgetList, listedIds } from '../archive/coffer1/forget-list.ts';
import { wholeOf } from '../archive/coffer1/small-files.ts';

/** In bytes: longer lists are skipped. */
const LONGEST_LIST = 16 * MiB;
/** How many lists are read, the newest ones. */
const MOST_LISTS = 100;

/**
 * The ids of the files of a series that are on a signed list of files to delete: they may still be there, but nothing
 * may refer to them any more. A file that is no such list, or is damaged, is skipped.
 *
 * @param untrustedNames the names of the directory's files
 */
export async function givenUpIn(
  directory: OpenedDirectory,
  untrustedNames: readonly string[],
  series: SigningSeries,
): Promise<ReadonlySet<string>> {
  const ids = new Set<string>();
  const lists = untrustedNames.filter(isForgetList).toSorted().slice(-MOST_LISTS);
  for (const untrustedName of lists) {
    try {
      const file = await directory.open(untrustedName);
      if (file.size > LONGEST_LIST) continue;
      const untrustedList = await wholeOf(file.read(), LONGEST_LIST, untrustedName);
      for (const id of listedIds(untrustedList, series) ?? []) ids.add(id);
    } catch (error) {
      if (!(error instanceof RefusedError || error instanceof DamagedError)) throw error;
    }
  }
  return ids;
}
