import { opendir, stat, statfs } from 'node:fs/promises';
import path from 'node:path';
import { MOST_ENTRIES } from '../protocol/limits.ts';
import type { Entry } from '../protocol/messages.ts';
import { systemCodeOf } from '../shared/errors.ts';
import { problemOf } from './storage-problem.ts';

export interface DirectoryListing {
  readonly path: string;
  readonly freeBytes: number;
  /** In no particular order. */
  readonly entries: readonly Entry[];
  /** There are more entries than are listed. */
  readonly truncated: boolean;
}

/** What is in a directory, up to MOST_ENTRIES, and how much space it has. Throws StorageProblem. */
export async function listDirectory(directory: string): Promise<DirectoryListing> {
  try {
    const { names, truncated } = await namesIn(directory);
    const entries: Entry[] = [];
    for (const name of names) entries.push(await entryOf(directory, name));
    return { path: directory, freeBytes: await freeBytes(directory), entries, truncated };
  } catch (error) {
    throw problemOf(error);
  }
}

/** The bytes that a file system has left for its users. Throws StorageProblem. */
export async function freeBytes(directory: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(directory);
    return bavail * bsize;
  } catch (error) {
    throw problemOf(error);
  }
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
