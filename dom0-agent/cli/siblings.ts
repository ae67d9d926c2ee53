import type { OpenedDirectory } from '../../shared/byte-streams.ts';
import type { Siblings } from '../archive/coffer1/series-files.ts';
import { timeOfBackupName } from '../backup/new-backup-file.ts';
import type { ListedEntry, Listing } from '../transport/storage.ts';

/** The files of a directory, for a backup that needs others. They are only listed when they are needed. */
export function siblingsIn(files: OpenedDirectory, list: () => Promise<Listing>): Siblings {
  const untrustedNames = async (): Promise<string[]> => {
    const { entries } = await list();
    return entries
      .filter(({ kind, untrustedName }) => kind === 'FILE' && !untrustedName.endsWith('.partial'))
      .toSorted(byNameNewestFirst)
      .map(({ untrustedName }) => untrustedName);
  };
  return { directory: files, untrustedNames };
}

/** Sorts files by the times in their names, newest first (`…-2` before `…`); those without a time come last. */
export function byNameNewestFirst(one: ListedEntry, other: ListedEntry): number {
  const [name, otherName] = [one.untrustedName, other.untrustedName];
  const [time, otherTime] = [timeOf(name), timeOf(otherName)];
  if (time !== otherTime) return otherTime > time ? 1 : -1;
  return otherName > name ? 1 : -1;
}

function timeOf(untrustedName: string): number {
  return timeOfBackupName(untrustedName)?.getTime() ?? -Infinity;
}
