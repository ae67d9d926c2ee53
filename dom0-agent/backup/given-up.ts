import type { OpenedDirectory } from '../../shared/byte-streams.ts';
import { DamagedError, RefusedError } from '../../shared/errors.ts';
import { MiB } from '../../shared/sizes.ts';
import { type SigningSeries, isForgetList, listedIds } from '../archive/coffer1/forget-list.ts';
import { wholeOf } from '../archive/coffer1/small-files.ts';

/** No list of what may go is longer. */
const LONGEST_LIST = 16 * MiB;
/** So many are read, the newest. */
const MOST_LISTS = 100;

/**
 * The ids of the files of a series that are on a signed list of what may go: they may be there, and nothing may refer to them
 * any more. What is no such list, or cannot be read, is passed over.
 *
 * @param untrustedNames of the directory's files
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
