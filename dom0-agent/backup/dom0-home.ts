import { spawn } from 'node:child_process';
import { FailedError } from '../../shared/errors.ts';
import { printable } from '../../shared/printable.ts';
import { rootPrefix, runnerBehind } from '../qubes/volumes/run.ts';

/**
 * The inner tar of a home directory, made by GNU tar, which keeps links, odd names and holes as they
 * are. The home itself gets the name `path` in it. What tar leaves out, sockets and the like, is told
 * to `warn`. Only where the home holds what its user cannot read, tar is run by root. Throws FailedError
 * when a file cannot be read.
 */
export async function* homeTar(
  home: string,
  path: string,
  warn: (text: string) => void,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, undefined> {
  const prefix = (await holdsUnreadable(home)) ? rootPrefix() : [];
  const [program = 'tar', ...args] = [...prefix, 'tar', ...tarArguments(home, path)];
  const tar = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C' },
  });
  // One that root runs cannot be killed, but it ends when nobody reads what it writes.
  const stop = (): void => void tar.stdout.destroy();
  signal.addEventListener('abort', stop);
  const complaints: string[] = [];
  tar.stderr.setEncoding('utf8').on('data', (text: string) => {
    if (complaints.length < 1000) complaints.push(text);
  });
  let failure: Error | undefined;
  tar.on('error', (error) => (failure = error));
  const closed = new Promise((resolve) => tar.once('close', resolve));
  try {
    yield* tar.stdout as AsyncIterable<Buffer>;
    await closed;
    signal.throwIfAborted();
    if (failure !== undefined)
      throw new FailedError(`tar cannot be run for dom0's home: ${failure.message}`);
    const lines = complaints.join('').split('\n').filter(Boolean);
    if (tar.exitCode !== 0 && tar.exitCode !== CHANGED_WHILE_READ) {
      throw new FailedError(
        `dom0's home cannot be read whole: ${printable(lines[0] ?? 'tar failed')}`,
      );
    }
    for (const line of lines) warn(`dom0's home: ${printable(line.replace(/^tar: /, ''))}`);
  } finally {
    signal.removeEventListener('abort', stop);
    tar.stdout.destroy();
    tar.kill('SIGKILL');
    await closed;
  }
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

/** Whether a home holds files or directories that this user cannot read, as root may have left there. */
async function holdsUnreadable(home: string): Promise<boolean> {
  const files = ['-type', 'f', '-not', '-readable'];
  const directories = ['-type', 'd', '-not', '(', '-readable', '-executable', ')'];
  const first = ['(', ...files, '-o', ...directories, ')', '-print', '-quit'];
  return (await runnerBehind([])('find', [home, '-ignore_readdir_race', ...first])) !== '';
}

/** GNU tar's exit status when a file changed while it was read: told, and no failure. */
const CHANGED_WHILE_READ = 1;
