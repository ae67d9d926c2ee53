import { rm } from 'node:fs/promises';
import { FailedError, messageOf } from '../../shared/errors.ts';
import type { Report } from '../../shared/report.ts';
import { rootPrefix, runnerBehind } from '../../shared/run-program.ts';

/**
 * Removes a directory and everything in it, including directories without write permission (Go's module
 * cache has them) and files of other users (as root). It is not an error if it does not exist. Throws
 * FailedError when something cannot be removed.
 */
export async function removeTree(directory: string): Promise<void> {
  try {
    await remove(directory);
  } catch {
    await makeWritable(directory);
    await remove(directory).catch((error: unknown) => removeAsRoot(directory, error));
  }
}

/** The same for a partly restored home, but if something cannot be removed, it only reports that. */
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

/** Changes only directories: a file can have hard links elsewhere, which share its mode. */
async function makeWritable(directory: string): Promise<void> {
  const closed = ['-type', 'd', '-not', '-perm', '-u=rwx'];
  const open = ['-exec', 'chmod', 'u+rwx', '{}', ';'];
  // A failure here shows later, when the directory cannot be removed.
  await runnerBehind([])('find', [directory, ...closed, ...open]).catch(() => undefined);
}

async function removeAsRoot(directory: string, why: unknown): Promise<void> {
  const prefix = rootPrefix();
  try {
    if (prefix.length === 0) throw why;
    await runnerBehind(prefix)('rm', ['-rf', '--one-file-system', '--', directory]);
    // sudo's exit status 0 does not prove that everything was removed.
    await remove(directory);
  } catch (error) {
    const reason = `${messageOf(why)}${error === why ? '' : `; ${messageOf(error)}`}`;
    throw new FailedError(`${directory} cannot be removed (${reason})`, { cause: error });
  }
}
