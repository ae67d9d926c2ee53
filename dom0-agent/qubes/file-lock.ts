import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

import { RefusedError, systemCodeOf } from '../../shared/errors.ts';
import { isOwnerGone, newOwnerName } from './owner-names.ts';

/** A lock is held for the time of one change, which takes milliseconds. */
const TIMEOUT_MS = 10_000;
const INTERVAL_MS = 10;

/**
 * Runs `action` while holding the lock file at `path`, which names its holder. A lock left by a process
 * that has ended is taken over. Throws RefusedError when another process keeps the lock.
 */
export async function whileLocked<T>(path: string, action: () => Promise<T>): Promise<T> {
  const owner = await newOwnerName();
  const deadline = Date.now() + TIMEOUT_MS;
  while (!(await tryLock(path, owner))) {
    if (Date.now() > deadline) {
      throw new RefusedError(`another coffer process holds ${path}: wait until it has finished`);
    }
    await sleep(INTERVAL_MS);
  }
  try {
    return await action();
  } finally {
    await rm(path, { force: true });
  }
}

async function tryLock(path: string, owner: string): Promise<boolean> {
  try {
    await writeFile(path, owner, { flag: 'wx' });
    return true;
  } catch (error) {
    if (systemCodeOf(error) !== 'EEXIST') throw error;
    await removeIfStale(path, owner);
    return false;
  }
}

/** Renames before removing: of two processes that find the same stale lock, only one gets it. */
async function removeIfStale(path: string, owner: string): Promise<void> {
  if (!(await isStale(path))) return;
  const aside = `${path}.${owner}`;
  try {
    await rename(path, aside);
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return;
    throw error;
  }
  // If another process was quicker, this is its new lock: put it back.
  if (await isStale(aside)) await rm(aside);
  else await rename(aside, path);
}

async function isStale(path: string): Promise<boolean> {
  try {
    return await isOwnerGone(await readFile(path, 'utf8'));
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return false;
    throw error;
  }
}
