import { ChildProcess, describeEnd, whyNotRun } from '../../shared/child-process.ts';
import { FailedError, messageOf } from '../../shared/errors.ts';
import { type TarCheck, checkInPassing } from '../archive/tar/check-in-passing.ts';
import { GnuTarMessages } from '../archive/tar/gnu-tar-messages.ts';
import { printableWords } from '../../shared/printable.ts';
import { rootPrefix, runnerBehind, sudoProblem } from '../../shared/run-program.ts';

/** Files in dom0 that are backed up as one tar. */
interface Tree {
  /** For messages: `dom0's home`. */
  readonly name: string;
  /** Absolute paths of the files and directories. */
  readonly roots: readonly string[];
  /** The directory that tar reads from. */
  readonly directory: string;
  /** The roots, relative to `directory`. */
  readonly members: readonly string[];
  /** How their names are changed: an expression of sed(1). */
  readonly transform: string;
  /** Where they are in the tar. */
  readonly path: string;
}

/** Receives what there is to report about a tree. */
export interface HomeRemarks {
  /** What changed while it was read. */
  changed(what: string): void;
  /** What could not be read and is missing from the tar, or incomplete in it. */
  unread(what: string): void;
}

/** The inner tar of a home directory, which is named `path` in it. Throws like `treeTar`. */
export function homeTar(
  home: string,
  path: string,
  remarks: HomeRemarks,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, undefined> {
  const names = { members: ['.'], transform: `s|^\\.|${path}|`, path };
  const tree = { name: "dom0's home", roots: [home], directory: home, ...names };
  return treeTar(tree, remarks, signal);
}

/**
 * The inner tar of files and directories in dom0; `path` takes the place of the root directory. Throws like `treeTar`.
 *
 * @param paths absolute, without links
 */
export function pathsTar(
  paths: readonly string[],
  path: string,
  remarks: HomeRemarks,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, undefined> {
  const members = paths.map((each) => each.slice(1));
  const names = { members, transform: `s|^|${path}/|`, path };
  return treeTar(
    { name: "dom0's configuration", roots: paths, directory: '/', ...names },
    remarks,
    signal,
  );
}

/**
 * The output of GNU tar, which preserves links, odd names and holes. tar is only run as root if there are files that
 * this user cannot read. Throws FailedError when the tar is incomplete.
 */
async function* treeTar(
  tree: Tree,
  remarks: HomeRemarks,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, undefined> {
  const { name, roots, path } = tree;
  const prefix = (await firstUnreadable(roots)) === undefined ? [] : rootPrefix();
  const [program = 'tar', ...args] = [...prefix, 'tar', ...tarArguments(tree)];
  await using tar = new ChildProcess([program, ...args], {
    // Without TAR_OPTIONS, which could change anything.
    env: { PATH: process.env['PATH'], LC_ALL: 'C' },
  });
  // A tar run by root cannot be killed, but it ends when nobody reads its output.
  const stop = (): void => void tar.stdout.destroy();
  signal.addEventListener('abort', stop);
  const messages = new GnuTarMessages(tar.stderr);
  const seen: TarCheck = { members: 0, problem: undefined };
  try {
    try {
      yield* checkInPassing(tar.stdout as AsyncIterable<Buffer>, path, seen);
    } catch (error) {
      // Its output may have been destroyed to stop it.
      signal.throwIfAborted();
      throw error;
    }
    const end = await tar.ended;
    signal.throwIfAborted();
    // sudo exits with 1, as tar does when a file has changed: only its end shows that the tar is complete.
    if (seen.problem !== undefined) {
      const why = end.notRun ? whyNotRun(program, end.notRun) : whyNone(messages, seen.problem);
      throw new FailedError(`${name} cannot be read: ${why}`);
    }
    if (messages.changed.count > 0) remarks.changed(messages.changed.toString());
    if (end.exitStatus !== 0 && end.exitStatus !== CHANGED_WHILE_READ) {
      remarks.unread(messages.failed.toString() || `tar ${describeEnd(end)}`);
    }
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/**
 * The path of a file or directory in or below `roots` that this user cannot read (root may have left one in a home);
 * undefined when there is none. Throws FailedError when the search fails.
 *
 * @param roots absolute
 */
export async function firstUnreadable(roots: readonly string[]): Promise<string | undefined> {
  const files = ['-type', 'f', '-not', '-readable'];
  const directories = ['-type', 'd', '-not', '(', '-readable', '-executable', ')'];
  const first = ['(', ...files, '-o', ...directories, ')', '-print', '-quit'];
  const found = await runnerBehind([])('find', [...roots, '-ignore_readdir_race', ...first]);
  return found === '' ? undefined : found.replace(/\n$/, '');
}

function whyNone(messages: GnuTarMessages, problem: Error): string {
  if (messages.failed.count > 0) return messages.failed.toString();
  return (
    sudoProblem(messages.otherOutput) ??
    (printableWords(messages.otherOutput) || messageOf(problem))
  );
}

function tarArguments({ directory, members, transform }: Tree): string[] {
  return [
    '--create',
    '--file=-',
    '--sparse',
    '--format=posix',
    // The same files give the same bytes: no access times, no process id.
    '--pax-option=delete=atime,delete=ctime,exthdr.name=%d/PaxHeaders/%f',
    `--transform=flags=rh;${transform}`,
    `--directory=${directory}`,
    '--',
    ...members,
  ];
}

/** GNU tar's exit status when a file changed while it was read: a warning, not a failure. */
const CHANGED_WHILE_READ = 1;
