import { spawn } from 'node:child_process';
import { chown, mkdir, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { FailedError, RefusedError, messageOf, systemCodeOf } from '../../shared/errors.ts';
import { timeInName } from '../../shared/local-time.ts';
import { printable } from '../../shared/printable.ts';
import { feed } from '../archive/feed.ts';

/** A home that is being unpacked lies beside its place under a name that begins so. */
export const HALF_RESTORED_HOME = '.home-restore-';

/** The directory in dom0's home that a home from a backup goes into: never over existing files. */
export function homeRestoreDirectory(home: string, now: Date): string {
  return join(home, `home-restore-${timeInName(now)}`);
}

/**
 * Unpacks the inner tar of a home into the new directory `target`, with GNU tar, which keeps links, odd
 * names and holes. The two upper directories, `dom0-home/<user>`, are left off. It is the work of
 * the user whose home `target` is in, even when root restores: nothing is written with more rights than
 * theirs. On any error nothing remains of `target`.
 */
export async function restoreHome(
  innerTar: AsyncIterable<Buffer>,
  target: string,
  signal: AbortSignal,
): Promise<void> {
  const owner = await ownerToBe(target);
  await makeNewDirectory(target);
  try {
    if (owner !== undefined) await chown(target, owner.uid, owner.gid);
    await unpack(innerTar, target, owner, signal);
  } catch (error) {
    await rm(target, { recursive: true, force: true });
    throw error;
  }
}

interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Whom root makes the directory for; undefined for any other user, who can only work as themself. */
async function ownerToBe(target: string): Promise<Owner | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const { uid, gid } = await stat(dirname(target)).catch((error: unknown) => {
    throw new FailedError(`dom0's home cannot be found: ${messageOf(error)}`, { cause: error });
  });
  return { uid, gid };
}

/** Throws RefusedError when there is something already. */
export async function makeNewDirectory(target: string): Promise<void> {
  try {
    await mkdir(target, { mode: 0o700 });
  } catch (error) {
    if (systemCodeOf(error) === 'EEXIST') throw new RefusedError(`${target} exists already`);
    throw new FailedError(`${target} cannot be made: ${messageOf(error)}`, { cause: error });
  }
}

async function unpack(
  innerTar: AsyncIterable<Buffer>,
  target: string,
  owner: Owner | undefined,
  signal: AbortSignal,
): Promise<void> {
  const tar = spawn(
    'tar',
    [
      '--extract',
      '--file=-',
      '--sparse',
      '--no-same-owner',
      '--strip-components=2',
      `--directory=${target}`,
    ],
    { stdio: ['pipe', 'ignore', 'pipe'], env: { ...process.env, LC_ALL: 'C' }, ...owner },
  );
  let complaint = '';
  tar.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint ||= text.split('\n')[0] ?? '';
  });
  let failure: Error | undefined;
  tar.on('error', (error) => (failure = error));
  const closed = new Promise((resolve) => tar.once('close', resolve));
  try {
    await feed(innerTar, tar, () => signal.aborted);
    await closed;
  } finally {
    tar.kill('SIGKILL');
    await closed;
  }
  signal.throwIfAborted();
  if (tar.exitCode !== 0) {
    throw new FailedError(
      `dom0's home cannot be unpacked: ${printable(complaint || (failure?.message ?? 'tar failed'))}`,
    );
  }
}
