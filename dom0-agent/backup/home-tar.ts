import { ChildProcess, describeEnd, whyNotRun } from '../../shared/child-process.ts';
import { FailedError, messageOf } from '../../shared/errors.ts';
import { type TarCheck, checkInPassing } from '../archive/tar/check-in-passing.ts';
import { GnuTarMessages } from '../archive/tar/gnu-tar-messages.ts';
import { printableWords } from '../../shared/printable.ts';
import { rootPrefix, runnerBehind, sudoProblem } from '../../shared/run-program.ts';

/** Receives what there is to report about a home. */
export interface HomeRemarks {
  /** What changed while it was read. */
  changed(what: string): void;
  /** What could not be read and is missing from the tar, or incomplete in it. */
  unread(what: string): void;
}

/**
 * The inner tar of a home directory, made by GNU tar, which preserves links, odd names and holes. The home
 * itself is named `path` in it. tar is run as root only if the home contains files that its user cannot
 * read. Throws FailedError when the tar is incomplete.
 */
export async function* homeTar(
  home: string,
  path: string,
  remarks: HomeRemarks,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, undefined> {
  const prefix = (await firstUnreadable(home)) === undefined ? [] : rootPrefix();
  const [program = 'tar', ...args] = [...prefix, 'tar', ...tarArguments(home, path)];
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
      throw new FailedError(`dom0's home cannot be read: ${why}`);
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
 * The path of a file or directory in a home that this user cannot read (root may have left one there);
 * undefined when there is none. Throws FailedError.
 */
export async function firstUnreadable(home: string): Promise<string | undefined> {
  const files = ['-type', 'f', '-not', '-readable'];
  const directories = ['-type', 'd', '-not', '(', '-readable', '-executable', ')'];
  const first = ['(', ...files, '-o', ...directories, ')', '-print', '-quit'];
  const found = await runnerBehind([])('find', [home, '-ignore_readdir_race', ...first]);
  return found === '' ? undefined : found.replace(/\n$/, '');
}

function whyNone(messages: GnuTarMessages, problem: Error): string {
  if (messages.failed.count > 0) return messages.failed.toString();
  return (
    sudoProblem(messages.otherOutput) ??
    (printableWords(messages.otherOutput) || messageOf(problem))
  );
}

function tarArguments(home: string, path: string): string[] {
  return [
    '--create',
    '--file=-',
    '--sparse',
    '--format=posix',
    // The same files give the same bytes: no access times, no process id.
    '--pax-option=delete=atime,delete=ctime,exthdr.name=%d/PaxHeaders/%f',
    `--transform=flags=rh;s|^\\.|${path}|`,
    `--directory=${home}`,
    '.',
  ];
}

/** GNU tar's exit status when a file changed while it was read: a warning, not a failure. */
const CHANGED_WHILE_READ = 1;
