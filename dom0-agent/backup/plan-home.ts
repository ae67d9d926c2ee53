import { createInterface } from 'node:readline';
import { ChildProcess, whyNotRun } from '../../shared/child-process.ts';
import { FailedError, RefusedError, messageOf } from '../../shared/errors.ts';
import { printable } from '../../shared/printable.ts';
import { rootPrefix, runnerBehind } from '../../shared/run-program.ts';
import { firstUnreadable } from './home-tar.ts';
import type { Dom0Home } from '../qubes/system.ts';
import type { BackupPlan } from './plan-backup.ts';
import { realpath } from 'node:fs/promises';
import { sep } from 'node:path';

/** The size of the tar of a directory tree, in bytes. */
export interface TreeSize {
  /** Approximate: for totals and progress. */
  readonly expected: number;
  /** At most, with some room for changes until it is made. */
  readonly most: number;
}

/** find counts disk space in blocks of this many bytes, and tar pads files to whole blocks. */
const BLOCK = 512;
/** What tar stores for most files besides their content: a header, a pax header and that one's own. */
const AROUND_MOST_FILES = 3 * BLOCK;
/** The most that this can be, with a long name and the padding of the last block. */
const MOST_AROUND_FILE = 4096;
/** Files come and go while a home is in use. */
const GROWTH = 1.05;

/**
 * Measures dom0's home; as root, if it contains files that its user cannot read, since root then reads it.
 * Throws RefusedError when that is not possible, before anything is done; FailedError when the home cannot
 * be searched.
 */
export async function sizeOfTree(directory: string): Promise<TreeSize> {
  const unreadable = await firstUnreadable(directory);
  const prefix = unreadable === undefined ? [] : rootPrefix();
  if (prefix.length > 0) await requireRoot(prefix, unreadable ?? '');
  const search = ['find', directory, '-ignore_readdir_race', '-printf', '%s %b\\n'];
  await using find = new ChildProcess([...prefix, ...search]);
  const size = await sumOf(createInterface({ input: find.stdout }));
  const { notRun, exitStatus } = await find.ended;
  if (notRun) throw new FailedError(`dom0's home: ${whyNotRun(prefix[0] ?? 'find', notRun)}`);
  if (exitStatus === 0) return size;
  throw new FailedError(`dom0's home ${directory} cannot be searched completely`);
}

/** Throws RefusedError unless tar can be run as root. */
async function requireRoot(prefix: readonly string[], unreadable: string): Promise<void> {
  try {
    await runnerBehind(prefix)('tar', ['--version']);
  } catch (error) {
    throw new RefusedError(
      `dom0's home contains ${printable(unreadable)}, which only root can read, and ` +
        `${messageOf(error)}: fix that, or leave the home out with -x dom0`,
      { cause: error },
    );
  }
}

async function sumOf(lines: AsyncIterable<string>): Promise<TreeSize> {
  let [expected, most] = [0, 0];
  for await (const line of lines) {
    const [size = 0, blocks = 0] = line.split(' ').map(Number);
    const stored = Math.min(size, blocks * BLOCK);
    expected += stored + ((BLOCK - (stored % BLOCK)) % BLOCK) + AROUND_MOST_FILES;
    most += size + MOST_AROUND_FILE;
  }
  return { expected, most: Math.ceil(most * GROWTH) };
}

/** A plan, with the size of dom0's home. */
export interface MeasuredPlan extends BackupPlan {
  readonly dom0Home: MeasuredHome | undefined;
}

export interface MeasuredHome extends Dom0Home {
  readonly size: TreeSize;
}

/** Measures dom0's home, if it is in the plan. Throws RefusedError when it cannot be read. */
export async function measurePlan(plan: BackupPlan): Promise<MeasuredPlan> {
  const { dom0Home } = plan;
  if (dom0Home === undefined) return { ...plan, dom0Home };
  return { ...plan, dom0Home: { ...dom0Home, size: await sizeOfTree(dom0Home.path) } };
}

/**
 * Refuses to back up dom0's home to a directory in that home: the backup would read itself as it grows.
 * Throws RefusedError.
 */
export async function refuseTargetInHome(home: string, directory: string): Promise<void> {
  const [realHome, realDirectory] = await Promise.all([real(home), real(directory)]);
  if (`${realDirectory}${sep}`.startsWith(`${realHome}${sep}`)) {
    throw new RefusedError(
      `${directory} is in dom0's home, so the backup would contain itself: ` +
        `name another directory, or leave out dom0 with -x dom0`,
    );
  }
}

/** The path without links; unchanged when there is no such file, which is noticed later. */
async function real(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch {
    return path;
  }
}
