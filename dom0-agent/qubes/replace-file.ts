import { type FileHandle, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

import { isOwnerGone, newOwnerName } from './owner-names.ts';

/**
 * Replaces the file at `path` atomically: `fill` writes to a new file next to it, which is synced and
 * renamed. When anything fails, the new file is removed and the old one is left unchanged. New files
 * left by killed coffer processes are removed first.
 */
export async function replaceFile(
  path: string,
  fill: (file: FileHandle) => Promise<void>,
): Promise<void> {
  await removeStaleFiles(path);
  const newPath = join(dirname(path), `${newFilePrefix(path)}${await newOwnerName()}`);
  try {
    const file = await open(newPath, 'wx');
    try {
      await fill(file);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(newPath, path);
  } catch (error) {
    await rm(newPath, { force: true });
    throw error;
  }
  await syncDirectory(dirname(path));
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

async function removeStaleFiles(path: string): Promise<void> {
  for (const name of await readdir(dirname(path))) {
    if (name.startsWith(newFilePrefix(path)) && (await isOwnerGone(name))) {
      await rm(join(dirname(path), name), { force: true });
    }
  }
}

function newFilePrefix(path: string): string {
  return `.${basename(path)}.`;
}
