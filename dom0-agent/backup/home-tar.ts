import { ChildProcess, describeEnd, whyNotRun } from '../../shared/child-process.ts';
import { FailedError, messageOf } from '../../shared/errors.ts';
import { type TarCheck, checkInPassing } from '../archive/tar/check-in-passing.ts';
import { GnuTarMessages } from '../archive/tar/gnu-tar-messages.ts';
import { printableWords } from '../../shared/printable.ts';
import { rootPrefix, runnerBehind, sudoProblem } from '../../shared/run-program.ts';

/** What there is to say of a home once it was read. */
export interface HomeRemarks {
  /** What changed under the reader, in words. */
  changed(what: string): void;
  /** What could not be read and is not in the tar, or not with all of its content, in words. */
  unread(what: string): void;
}

/**
 * The inner tar of a home directory, made by GNU tar, which keeps links, odd names and holes as they
 * are. The home itself gets the name `path` in it. Only where the home holds what its user cannot
 * read, tar is run by root. Throws FailedError when no whole tar comes.
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
    // Not TAR_OPTIONS, which could ask for anything.
    env: { PATH: process.env['PATH'], LC_ALL: 'C' },
  });
  // One that root runs cannot be killed, but it ends when nobody reads what it writes.
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
    // sudo ends with 1, as tar does when a file has changed: only its end shows that a tar is whole.
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
 * The path of a file or directory in a home that this user cannot read, as root may have left one
 * there; undefined when there is none. Throws FailedError.
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
    // The same files give the same bytes: no times of reading, no process number.
    '--pax-option=delete=atime,delete=ctime,exthdr.name=%d/PaxHeaders/%f',
    `--transform=flags=rh;s|^\\.|${path}|`,
    `--directory=${home}`,
    '.',
  ];
}

/** GNU tar's exit status when a file changed while it was read: told, and no failure. */
const CHANGED_WHILE_READ = 1;
