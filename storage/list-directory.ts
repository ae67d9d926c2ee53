import type { StatsFs } from 'node:fs';
import { opendir, stat, statfs } from 'node:fs/promises';
import path from 'node:path';
import { MOST_ENTRIES } from '../protocol/limits.ts';
import type { Entry } from '../protocol/messages.ts';
import { systemCodeOf } from '../shared/errors.ts';
import { GiB } from '../shared/sizes.ts';
import type { Space } from '../shared/space.ts';
import type { DirectoryListing } from './directory.ts';
import { toStorageFailure } from './storage-failure.ts';

/** The type of FAT in statfs(2): MSDOS_SUPER_MAGIC in linux/magic.h. exFAT has another, and no such limit. */
const FAT = 0x4d44;
/** A file's length has 32 bits on FAT. */
const LARGEST_ON_FAT = 4 * GiB - 1;

/** The entries of a directory, up to MOST_ENTRIES, and its free space. Throws StorageFailure. */
export async function listDirectory(directory: string): Promise<DirectoryListing> {
  try {
    const { names, truncated } = await namesIn(directory);
    const entries: Entry[] = [];
    for (const name of names) entries.push(await entryOf(directory, name));
    return { path: directory, space: await spaceIn(directory), entries, truncated };
  } catch (error) {
    throw toStorageFailure(error);
  }
}

/** The space in a directory's file system that ordinary users can use. Throws StorageFailure. */
export async function spaceIn(directory: string): Promise<Space & { readonly freeBytes: number }> {
  try {
    return spaceOf(await statfs(directory));
  } catch (error) {
    throw toStorageFailure(error);
  }
}

/** The same from the result of statfs(2), in bytes. */
export function spaceOf({ type, bavail, bsize }: Pick<StatsFs, 'type' | 'bavail' | 'bsize'>) {
  return { freeBytes: bavail * bsize, largestFile: type === FAT ? LARGEST_ON_FAT : undefined };
}

async function namesIn(directory: string): Promise<{ names: string[]; truncated: boolean }> {
  const names: string[] = [];
  for await (const { name } of await opendir(directory)) {
    if (names.length === MOST_ENTRIES) return { names, truncated: true };
    names.push(name);
  }
  return { names, truncated: false };
}

/** A symbolic link counts as what it points to. */
async function entryOf(directory: string, name: string): Promise<Entry> {
  try {
    const stats = await stat(path.join(directory, name));
    if (stats.isFile()) return { name, kind: 'FILE', size: stats.size };
    return { name, kind: stats.isDirectory() ? 'DIRECTORY' : 'OTHER', size: 0 };
  } catch (error) {
    // Just removed, a dangling link, or not accessible.
    if (systemCodeOf(error) === undefined) throw error;
    return { name, kind: 'OTHER', size: 0 };
  }
}
