import { createInterface } from 'node:readline';
import { ChildProcess, whyNotRun } from '../../shared/child-process.ts';
import { FailedError, RefusedError, messageOf, reasonOf } from '../../shared/errors.ts';
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
  /** An upper bound, with some room for changes until the tar is made. */
  readonly most: number;
}

/** find counts disk space in blocks of this many bytes, and tar pads files to whole blocks. */
const BLOCK = 512;
/** Bytes that tar stores for most files besides their content: a header, a pax header, and the header of the latter. */
const AROUND_MOST_FILES = 3 * BLOCK;
/** The most that these can be, with a long name and the padding of the last block. */
const MOST_AROUND_FILE = 4096;
/** Files come and go while a home is in use. */
const GROWTH = 1.05;

/** What is measured, as error messages call it. */
interface Words {
  readonly name: string;
  /** How to leave it out. */
  readonly remedy: string;
}

const HOME = { name: "dom0's home", remedy: 'leave the home out with -x dom0' };
const PATHS = {
  name: "dom0's configuration",
  remedy: 'leave it out with another --dom0-path, or run coffer as root',
};

/** The size of the tar of dom0's home. Throws like `sizeOfTrees`. */
export function sizeOfTree(directory: string): Promise<TreeSize> {
  return sizeOfTrees([directory], HOME);
}

/**
 * The size of the tar of directories and files. If they contain files that this user cannot read, it measures them as
 * root, which will also read them. Throws RefusedError if it cannot become root, FailedError if the search fails.
 */
async function sizeOfTrees(roots: readonly string[], words: Words): Promise<TreeSize> {
  const unreadable = await firstUnreadable(roots);
  const prefix = unreadable === undefined ? [] : rootPrefix();
  if (prefix.length > 0) await requireRoot(prefix, unreadable ?? '', words);
  const search = ['find', ...roots, '-ignore_readdir_race', '-printf', '%s %b\\n'];
  await using find = new ChildProcess([...prefix, ...search]);
  const size = await sumOf(createInterface({ input: find.stdout }));
  const { notRun, exitStatus } = await find.ended;
  if (notRun) throw new FailedError(`${words.name}: ${whyNotRun(prefix[0] ?? 'find', notRun)}`);
  if (exitStatus === 0) return size;
  throw new FailedError(`${words.name} (${roots.join(', ')}) cannot be searched completely`);
}

/** Throws RefusedError unless tar can be run as root. */
async function requireRoot(
  prefix: readonly string[],
  unreadable: string,
  { name, remedy }: Words,
): Promise<void> {
  try {
    await runnerBehind(prefix)('tar', ['--version']);
  } catch (error) {
    throw new RefusedError(
      `${name} contains ${printable(unreadable)}, which only root can read, and ` +
        `${messageOf(error)}: fix that, or ${remedy}`,
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

/** A plan, with the sizes of dom0's home and configuration. */
export interface MeasuredPlan extends BackupPlan {
  readonly dom0Home: MeasuredHome | undefined;
  readonly dom0Paths?: MeasuredPaths | undefined;
}

export interface MeasuredHome extends Dom0Home {
  readonly size: TreeSize;
}

/** Files and directories of dom0's configuration. */
export interface MeasuredPaths {
  /** Absolute, without links; none is within another. */
  readonly paths: readonly string[];
  readonly size: TreeSize;
}

/**
 * Measures what the plan contains of dom0. Throws RefusedError when it cannot be read, or is all of dom0; FailedError
 * when it cannot be searched.
 *
 * @param dom0Paths files and directories of dom0's configuration
 */
export async function measurePlan(
  plan: BackupPlan,
  dom0Paths: readonly string[] = [],
): Promise<MeasuredPlan> {
  const { dom0Home } = plan;
  const paths = await realPaths(dom0Paths);
  return {
    ...plan,
    dom0Home: dom0Home && { ...dom0Home, size: await sizeOfTree(dom0Home.path) },
    dom0Paths: paths.length === 0 ? undefined : { paths, size: await sizeOfTrees(paths, PATHS) },
  };
}

/**
 * The paths, resolved, each once, without those that are within another. Throws RefusedError for a path that does not
 * exist, and for the root directory.
 */
async function realPaths(named: readonly string[]): Promise<string[]> {
  const found = await Promise.all(
    named.map((each) =>
      realpath(each).catch((error: unknown) => {
        throw new RefusedError(
          `${printable(each)} of dom0 cannot be backed up: ${reasonOf(error)}`,
        );
      }),
    ),
  );
  if (found.includes(sep))
    throw new RefusedError('coffer does not back up all of dom0: name the files that you need');
  const each = [...new Set(found)].sort();
  return each.filter((path) => !each.some((other) => other !== path && isWithin(path, other)));
}

/**
 * Throws RefusedError for a backup of dom0's home to a directory in that home: the backup would read itself as it
 * grows.
 */
export async function refuseTargetInHome(home: string, directory: string): Promise<void> {
  await refuseTargetWithin([home], directory, "dom0's home", 'leave out dom0 with -x dom0');
}

/** The same for the files and directories of dom0's configuration. */
export async function refuseTargetInPaths(
  paths: readonly string[],
  directory: string,
): Promise<void> {
  await refuseTargetWithin(paths, directory, 'what --dom0-path names', 'leave that out');
}

async function refuseTargetWithin(
  roots: readonly string[],
  directory: string,
  what: string,
  remedy: string,
): Promise<void> {
  const target = await real(directory);
  const all = await Promise.all(roots.map(real));
  if (!all.some((root) => isWithin(target, root))) return;
  throw new RefusedError(
    `${directory} is in ${what}, so the backup would contain itself: name another directory, or ${remedy}`,
  );
}

function isWithin(path: string, directory: string): boolean {
  return `${path}${sep}`.startsWith(`${directory}${sep}`);
}

/** The path without links; unchanged if there is no such file, which is noticed later. */
async function real(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch {
    return path;
  }
}
