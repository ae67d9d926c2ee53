import { chown, mkdir, readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ChildProcess, describeEnd, whyNotRun } from '../../shared/child-process.ts';
import {
  FailedError,
  RefusedError,
  messageOf,
  reasonOf,
  systemCodeOf,
} from '../../shared/errors.ts';
import { timeInName } from '../../shared/local-time.ts';
import type { Report } from '../../shared/report.ts';
import { feed } from '../archive/compress/feed.ts';
import { type TarCheck, checkInPassing } from '../archive/tar/check-in-passing.ts';
import { GnuTarMessages } from '../archive/tar/gnu-tar-messages.ts';
import { runnerBehind } from '../../shared/run-program.ts';
import { removePartialHome } from './remove-tree.ts';

/** The prefix of the directory that a home is unpacked to before it gets its final name. */
export const PARTIAL_HOME_PREFIX = '.home-restore-';

/** The trees of dom0, and the new directories in dom0's home that they are restored to: nothing is overwritten. */
export const DOM0_TREES = {
  home: {
    name: 'home',
    directoryIn: (home: string, now: Date) => join(home, `home-restore-${timeInName(now)}`),
  },
  paths: {
    name: 'configuration',
    directoryIn: (home: string, now: Date) => join(home, `dom0-restored-${timeInName(now)}`),
  },
} as const;
export type Dom0Tree = (typeof DOM0_TREES)[keyof typeof DOM0_TREES];

/**
 * Unpacks the inner tar of a home to the new directory `target`, with GNU tar, which preserves links, odd
 * names, holes and modes, and syncs it. The setuid and setgid bits of files are removed. The two top directories,
 * `dom0-home/<user>` or `dom0-home/paths`, are stripped. tar runs as the user whose home `target` is in, even when root
 * restores: nothing is written with more privileges than theirs.
 *
 * If some files cannot be created, the rest are still unpacked: returns what is missing, as messages. Throws
 * FailedError when nothing can be created or there is not enough space, and what `innerTar` throws: then `target` is
 * removed.
 */
export async function unpackHome(
  innerTar: AsyncIterable<Buffer>,
  target: string,
  report: Report,
  signal: AbortSignal,
  { name } = DOM0_TREES.home as Dom0Tree,
): Promise<string[]> {
  const owner = await ownerToBe(target);
  await makeNewDirectory(target);
  try {
    if (owner !== undefined) await chown(target, owner.uid, owner.gid);
    const missing = await unpack(innerTar, target, owner, `dom0's ${name}`, signal);
    if (missing.length > 0 && (await readdir(target)).length === 0) {
      throw new FailedError(`nothing could be unpacked: ${missing.join('; ')}`);
    }
    await dropSetuid(target);
    return [...missing, ...(await sync(target))];
  } catch (error) {
    await removePartialHome(target, report);
    throw error;
  }
}

interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** The user that tar runs as, and that will own `target`, if root restores; undefined for any other user. */
async function ownerToBe(target: string): Promise<Owner | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const { uid, gid } = await stat(dirname(target)).catch((error: unknown) => {
    throw new FailedError(`dom0's home cannot be found: ${messageOf(error)}`, { cause: error });
  });
  return { uid, gid };
}

/**
 * Makes a directory that only its owner can read. Throws RefusedError when it already exists, FailedError otherwise.
 */
export async function makeNewDirectory(target: string): Promise<void> {
  try {
    await mkdir(target, { mode: 0o700 });
  } catch (error) {
    if (systemCodeOf(error) === 'EEXIST') throw new RefusedError(`${target} already exists`);
    throw new FailedError(`${target} cannot be made: ${reasonOf(error)}`, { cause: error });
  }
}

/** Returns what could not be unpacked, as messages. */
async function unpack(
  innerTar: AsyncIterable<Buffer>,
  target: string,
  owner: Owner | undefined,
  what: string,
  signal: AbortSignal,
): Promise<string[]> {
  await using tar = new ChildProcess(['tar', ...tarArguments(target)], {
    stdin: 'pipe',
    stdout: 'ignore',
    // Without TAR_OPTIONS, which could change anything.
    env: { PATH: process.env['PATH'], LC_ALL: 'C' },
    ...owner,
  });
  const messages = new GnuTarMessages(tar.stderr);
  const seen: TarCheck = { members: 0, problem: undefined };
  const followed = checkInPassing(innerTar, what, seen);
  await feed(followed, tar, () => signal.aborted || messages.isOutOfSpace);
  // When there is no space left, tar might still go on for a long time.
  const end = messages.isOutOfSpace ? undefined : await tar.ended;
  signal.throwIfAborted();
  if (messages.isOutOfSpace || end === undefined) {
    throw new FailedError(`there is no space for ${what} in ${dirname(target)}`);
  }
  if (end.notRun) throw new FailedError(whyNotRun('tar', end.notRun));
  if (seen.problem !== undefined)
    return [`the backup does not contain all of it: ${messageOf(seen.problem)}`];
  if (end.exitStatus === 0) return [];
  if (end.signal !== '') return [`tar was ended by ${end.signal} before the end`];
  return [`not made: ${messages.failed.toString() || `tar ${describeEnd(end)}`}`];
}

/**
 * Removes the two top directories from the names of members, and from those that hard links (h) refer to, but not from
 * the targets of symbolic links (S). --strip-components would leave an absolute path of `dom0-home/user//etc/passwd`.
 */
const TWO_DIRECTORIES_LESS = '--transform=flags=rhS;s,^[^/]*/*[^/]*/*,./,';

function tarArguments(target: string): string[] {
  return [
    '--extract',
    '--file=-',
    '--sparse',
    '--no-same-owner',
    // Original modes, regardless of the umask.
    '--preserve-permissions',
    // The directory itself stays as it was made.
    '--no-overwrite-dir',
    TWO_DIRECTORIES_LESS,
    // Harmless warnings are suppressed.
    '--warning=no-timestamp',
    '--warning=no-unknown-keyword',
    `--directory=${target}`,
  ];
}

/**
 * Removes the setuid and setgid bits of files: no program of a restored home may run with another user's privileges.
 */
async function dropSetuid(target: string): Promise<void> {
  const withRights = ['-type', 'f', '-perm', '/6000', '-exec', 'chmod', 'ug-s', '{}', '+'];
  // If find fails, it is at a directory that even its owner cannot open, where nobody can run a program.
  await runnerBehind([])('find', [target, ...withRights]).catch(() => undefined);
}

/** Writes the tree to disk, so that it survives a crash. Returns a message if that failed. */
async function sync(target: string): Promise<string[]> {
  try {
    await runnerBehind([])('sync', ['--file-system', '--', target]);
    return [];
  } catch (error) {
    return [`it may not be on the disk: ${messageOf(error)}`];
  }
}
