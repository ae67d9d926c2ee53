import { readlink, rm, symlink } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

import { RefusedError, systemCodeOf } from '../../shared/errors.ts';
import { isOwnerGone, newOwnerName } from './owner-names.ts';

/** A lock is usually held for the time of one change, which takes milliseconds. */
const TIMEOUT_MS = 10_000;
const INTERVAL_MS = 10;
const PATIENT_INTERVAL_MS = 200;

/** For a lock that may be held for hours: waits until it is released, or the signal fires. */
export interface Patience {
  readonly onWait: () => void;
  readonly signal: AbortSignal;
}

/**
 * Runs `action` while holding the lock at `path`: a symbolic link to the name of its holder, as a link is created
 * together with its target, in one step. A lock left by a process that has ended is taken over. Throws RefusedError if
 * another process keeps the lock, unless there is `patience`.
 */
export async function whileLocked<T>(
  path: string,
  action: () => Promise<T>,
  patience?: Patience,
): Promise<T> {
  const owner = await newOwnerName();
  const begun = Date.now();
  for (let tries = 0; !(await tryLock(path, owner)); tries++) {
    if (patience === undefined && Date.now() > begun + TIMEOUT_MS) {
      throw new RefusedError(`another coffer process holds ${path}: wait until it has finished`);
    }
    if (tries === 0) patience?.onWait();
    const interval = patience === undefined ? INTERVAL_MS : PATIENT_INTERVAL_MS;
    await sleep(interval, undefined, { signal: patience?.signal });
  }
  try {
    return await action();
  } finally {
    await rm(path, { force: true });
  }
}

async function tryLock(path: string, owner: string): Promise<boolean> {
  try {
    await symlink(owner, path);
    return true;
  } catch (error) {
    if (systemCodeOf(error) !== 'EEXIST') throw error;
    // A lock that nobody holds is no reason to wait.
    return (await removeIfStale(path)) && (await tryLock(path, owner));
  }
}

/**
 * Removes a lock whose holder has ended, and says whether it did. Of several processes that find the same stale lock,
 * only one may remove it, as long as it is that lock: another one could remove the lock that has come after it. So it
 * is removed under a lock of its own, which bears its holder's name.
 */
async function removeIfStale(path: string): Promise<boolean> {
  const gone = await goneHolder(path);
  if (gone === undefined) return false;
  return await whileLocked(`${path}.${gone}`, async () => {
    const isStillThere = (await goneHolder(path)) === gone;
    if (isStillThere) await rm(path, { force: true });
    return isStillThere;
  });
}

/** The name of the process that holds a lock, if it has ended. */
async function goneHolder(path: string): Promise<string | undefined> {
  try {
    const holder = await readlink(path);
    return (await isOwnerGone(holder)) ? holder : undefined;
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
