import type { StatsFs } from 'node:fs';
import { opendir, stat, statfs } from 'node:fs/promises';
import path from 'node:path';
import { MOST_ENTRIES } from '../protocol/limits.ts';
import type { Entry } from '../protocol/messages.ts';
import { systemCodeOf } from '../shared/errors.ts';
import { GiB } from '../shared/sizes.ts';
import type { Space } from '../shared/space.ts';
import { toStorageFailure } from './storage-failure.ts';

/** What statfs(2) says of FAT, as of no other: MSDOS_SUPER_MAGIC in linux/magic.h. exFAT has another, and no such limit. */
const FAT = 0x4d44;
/** A file's length has 32 bits there. */
const LARGEST_ON_FAT = 4 * GiB - 1;

export interface DirectoryListing {
  readonly path: string;
  readonly space: Space;
  /** In no particular order. */
  readonly entries: readonly Entry[];
  /** There are more entries than are listed. */
  readonly truncated: boolean;
}

/** What is in a directory, up to MOST_ENTRIES, and how much space it has. Throws StorageFailure. */
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

/** What a file system has left for its users. Throws StorageFailure. */
export async function spaceIn(directory: string): Promise<Space & { readonly freeBytes: number }> {
  try {
    return spaceOf(await statfs(directory));
  } catch (error) {
    throw toStorageFailure(error);
  }
}

/** The same, of what statfs(2) said. */
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

/** A symbolic link counts as what it leads to. */
async function entryOf(directory: string, name: string): Promise<Entry> {
  try {
    const stats = await stat(path.join(directory, name));
    if (stats.isFile()) return { name, kind: 'FILE', size: stats.size };
    return { name, kind: stats.isDirectory() ? 'DIRECTORY' : 'OTHER', size: 0 };
  } catch (error) {
    // Removed meanwhile, a link that leads nowhere, something that we may not look at.
    if (systemCodeOf(error) === undefined) throw error;
    return { name, kind: 'OTHER', size: 0 };
  }
}
