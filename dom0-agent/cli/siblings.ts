import type { Siblings } from '../archive/coffer1/series-files.ts';
import { timeOfBackupName } from '../backup/new-backup-file.ts';
import type { ListedEntry, Source, Storage } from '../transport/storage.ts';

/** The other files in the directory of a backup, for one that needs them; they are listed only then. */
export function siblingsOf(
  { place }: Source,
  storage: Storage,
  signal: AbortSignal,
): Siblings | undefined {
  if (place === undefined) return undefined;
  const untrustedNames = async (): Promise<string[]> => {
    const { entries } = await storage.browse(place.directory, signal);
    return entries
      .filter(({ kind, untrustedName }) => kind === 'FILE' && !untrustedName.endsWith('.partial'))
      .toSorted(byNameNewestFirst)
      .map(({ untrustedName }) => untrustedName);
  };
  return { directory: place.files, untrustedNames };
}

/** Of two files, the one that is newer by its name comes first; what bears no time comes last. */
export function byNameNewestFirst(one: ListedEntry, other: ListedEntry): number {
  return timeOf(other.untrustedName) - timeOf(one.untrustedName);
}

function timeOf(untrustedName: string): number {
  return timeOfBackupName(untrustedName)?.getTime() ?? -Infinity;
}
