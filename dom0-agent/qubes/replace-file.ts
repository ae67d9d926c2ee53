import { type FileHandle, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { eachAtOnce } from '../../shared/at-once.ts';
import { isOwnerGone, newOwnerName } from './owner-names.ts';

/** How many files are written at the same time: the file system then syncs them together. */
const AT_ONCE = 4;

/** Writes the new content of a file. */
type Fill = (file: FileHandle) => Promise<void>;

/**
 * Replaces the file at `path` atomically: `fill` writes to a new file next to it, which is synced and
 * renamed. When anything fails, the new file is removed and the old one is left unchanged. New files
 * left by killed coffer processes are removed first.
 */
export async function replaceFile(path: string, fill: Fill): Promise<void> {
  await replaceFiles(dirname(path), new Map([[basename(path), fill]]));
}

/** The same for several files in a directory, by name: each is replaced atomically, and all are written first. */
export async function replaceFiles(
  directory: string,
  files: ReadonlyMap<string, Fill>,
): Promise<void> {
  await removeStaleFiles(directory, [...files.keys()]);
  const owner = await newOwnerName();
  const newPathOf = (name: string): string => join(directory, `${newFilePrefix(name)}${owner}`);
  try {
    await eachAtOnce(files, AT_ONCE, async ([name, fill]) => writeSynced(newPathOf(name), fill));
    for (const name of files.keys()) await rename(newPathOf(name), join(directory, name));
  } catch (error) {
    for (const name of files.keys()) await rm(newPathOf(name), { force: true });
    throw error;
  }
  await syncDirectory(directory);
}

async function writeSynced(path: string, fill: Fill): Promise<void> {
  const file = await open(path, 'wx');
  try {
    await fill(file);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Makes creations, renames and removals in a directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

async function removeStaleFiles(directory: string, names: readonly string[]): Promise<void> {
  const prefixes = names.map(newFilePrefix);
  for (const found of await readdir(directory)) {
    const isNew = prefixes.some((prefix) => found.startsWith(prefix));
    if (isNew && (await isOwnerGone(found))) await rm(join(directory, found), { force: true });
  }
}

function newFilePrefix(name: string): string {
  return `.${name}.`;
}
