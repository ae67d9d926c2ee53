import { spawn } from 'node:child_process';
import { FailedError, messageOf } from '../../shared/errors.ts';
import { printable } from '../../shared/printable.ts';
import { type Followed, follow } from '../archive/inner-tar/follow.ts';
import { TarComplaints } from '../archive/inner-tar/tar-complaints.ts';
import { isNotThere, rootPrefix, runnerBehind } from '../qubes/volumes/run.ts';
import { sudoProblem } from '../qubes/volumes/sudo-problem.ts';

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
  const tar = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own: an interrupt at the terminal is ours to pass on.
    detached: true,
    // Not TAR_OPTIONS, which could ask for anything.
    env: { PATH: process.env['PATH'], LC_ALL: 'C' },
  });
  // One that root runs cannot be killed, but it ends when nobody reads what it writes.
  const stop = (): void => void tar.stdout.destroy();
  signal.addEventListener('abort', stop);
  const complaints = new TarComplaints(tar.stderr);
  let failure: Error | undefined;
  tar.on('error', (error) => (failure ??= error));
  const closed = new Promise((resolve) => tar.once('close', resolve));
  const seen: Followed = { members: 0, problem: undefined };
  try {
    try {
      yield* follow(tar.stdout as AsyncIterable<Buffer>, path, seen);
    } catch (error) {
      // Its output may have been destroyed to stop it.
      signal.throwIfAborted();
      throw error;
    }
    await closed;
    signal.throwIfAborted();
    // sudo ends with 1, as tar does when a file has changed: only its end shows that a tar is whole.
    if (seen.problem !== undefined) {
      const why = whyNone(program, failure, complaints, seen.problem);
      throw new FailedError(`dom0's home cannot be read: ${why}`);
    }
    if (complaints.changed.count > 0) remarks.changed(complaints.changed.toString());
    if (tar.exitCode !== 0 && tar.exitCode !== CHANGED_WHILE_READ) {
      remarks.unread(
        complaints.failed.toString() || `tar ended with ${tar.exitCode ?? 'a signal'}`,
      );
    }
  } finally {
    signal.removeEventListener('abort', stop);
    tar.stdout.destroy();
    tar.kill('SIGKILL');
    await closed;
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

function whyNone(
  program: string,
  failure: Error | undefined,
  complaints: TarComplaints,
  problem: Error,
): string {
  if (isNotThere(failure)) return `${program} is not installed here`;
  if (failure !== undefined) return `${program} cannot be run: ${messageOf(failure)}`;
  if (complaints.failed.count > 0) return complaints.failed.toString();
  return (
    sudoProblem(complaints.ofOthers) ??
    (printable(complaints.ofOthers.trim().replace(/\s+/g, ' ')) || messageOf(problem))
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
