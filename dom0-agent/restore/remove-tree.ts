import { rm } from 'node:fs/promises';
import { FailedError, messageOf } from '../../shared/errors.ts';
import type { Report } from '../../shared/report.ts';
import { rootPrefix, runnerBehind } from '../../shared/run-program.ts';

/**
 * Removes a directory and all that is in it, also what lies in directories without write permission
 * (Go's module cache has them) or belongs to another user (then root removes it). It is no error
 * when nothing is there. Throws FailedError when something stays.
 */
export async function removeTree(directory: string): Promise<void> {
  try {
    await remove(directory);
  } catch {
    await makeWritable(directory);
    await remove(directory).catch((error: unknown) => removeAsRoot(directory, error));
  }
}

/** The same for what a restore leaves behind: when something stays, that is told, and hinders nothing. */
export async function removePartialHome(directory: string, report: Report): Promise<void> {
  try {
    await removeTree(directory);
  } catch (error) {
    const why = messageOf(error);
    report.rollbackFailed(directory, `a home that was restored only in part is left over: ${why}`);
  }
}

async function remove(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true, maxRetries: 3 });
}

/** Only directories: a file can have other names elsewhere, which share its mode. */
async function makeWritable(directory: string): Promise<void> {
  const closed = ['-type', 'd', '-not', '-perm', '-u=rwx'];
  const open = ['-exec', 'chmod', 'u+rwx', '{}', ';'];
  // What cannot be opened shows when it cannot be removed.
  await runnerBehind([])('find', [directory, ...closed, ...open]).catch(() => undefined);
}

async function removeAsRoot(directory: string, why: unknown): Promise<void> {
  const prefix = rootPrefix();
  try {
    if (prefix.length === 0) throw why;
    await runnerBehind(prefix)('rm', ['-rf', '--one-file-system', '--', directory]);
    // A good status of sudo's is no proof.
    await remove(directory);
  } catch (error) {
    const reason = `${messageOf(why)}${error === why ? '' : `; ${messageOf(error)}`}`;
    throw new FailedError(`${directory} cannot be removed (${reason})`, { cause: error });
  }
}
