import { type FileHandle, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

import { isOwnerGone, newOwnerName } from '../owner-names.ts';

/**
 * Puts a new file in the place of `path`, all or nothing: `fill` writes to a new file beside it, which
 * is synced and renamed. When anything fails, the new file is removed and the old one stays as it is.
 * What a coffer that was killed left of its new file is removed first.
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

/** Makes durable what was created, renamed and removed in a directory. */
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
