import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import {
  ChildProcess,
  describeEnd,
  LONGEST_STDERR_TAIL,
  whyNotRun,
} from '../../shared/child-process.ts';

const sh = (script: string, options = {}) => new ChildProcess(['sh', '-c', script], options);

/** Whether the process exists and is not a zombie. */
const isAlive = async (pid: string): Promise<boolean> => {
  await using ps = new ChildProcess(['ps', '-o', 'stat=', '-p', pid]);
  return /^[^Z]/.test((await text(ps.stdout)).trim());
};

const untilGone = async (pid: string): Promise<void> => {
  while (await isAlive(pid)) await sleep(20);
};

it('a program has its own process group, so that Ctrl-C does not reach it', async () => {
  await using child = sh('ps -o pgid= -p $$; echo $$');
  const [group, pid] = (await text(child.stdout)).trim().split(/\s+/);
  expect(group).toBe(pid);
  expect(await child.ended).toMatchObject({ exitStatus: 0, signal: '' });
});

it('the end of a program is described by its exit status, its signal, or that it did not start', async () => {
  await using failed = sh('exit 3');
  expect(describeEnd(await failed.ended)).toBe('ended with status 3');
  await using killed = sh('kill -s TERM $$');
  expect(describeEnd(await killed.ended)).toBe('was ended by SIGTERM');
  await using missing = new ChildProcess(['/nowhere/program', 'x'], { stdin: 'pipe' });
  missing.stdin.write('nobody reads this');
  expect(await text(missing.stdout)).toBe('');
  const end = await missing.ended;
  expect(describeEnd(end)).toBe('did not start');
  expect(whyNotRun('program', end.notRun ?? new Error('none'))).toBe(
    'program is not installed here',
  );
});

it('only the end of standard error is kept, even if nobody reads it', async () => {
  await using child = sh('yes long | head -c 1000000 >&2; echo the end >&2');
  const { untrustedStderr } = await child.ended;
  expect(untrustedStderr).toMatch(/long\nthe end$/);
  expect(untrustedStderr.length).toBeLessThan(LONGEST_STDERR_TAIL);
});

it('standard error is also kept if it is read as text', async () => {
  await using child = sh('echo words >&2');
  let read = '';
  child.stderr.setEncoding('utf8').on('data', (piece: string) => (read += piece));
  expect((await child.ended).untrustedStderr).toBe('words');
  expect(read).toBe('words\n');
});

it('a program has ended even if it left a process in the background', async () => {
  await using child = sh('sleep 600 & echo $! ; echo words >&2', { stdout: 'pipe' });
  let pid = '';
  child.stdout.on('data', (piece: Buffer) => (pid += piece.toString()));
  try {
    expect(await child.ended).toMatchObject({ exitStatus: 0, untrustedStderr: 'words' });
  } finally {
    process.kill(Number(pid));
  }
});

it('a program is killed when it is disposed of or its signal is aborted', async () => {
  const disposed = sh('trap "" TERM PIPE; echo; exec sleep 600');
  await disposed[Symbol.asyncDispose]();
  expect((await disposed.ended).signal).toBe('SIGKILL');
  const controller = new AbortController();
  await using stopped = sh('exec sleep 600', { signal: controller.signal });
  controller.abort();
  expect((await stopped.ended).signal).toBe('SIGKILL');
  await using tooLate = sh('exec sleep 600', { signal: AbortSignal.abort() });
  expect((await tooLate.ended).signal).toBe('SIGKILL');
});

it('a process group is terminated, and killed if it does not end', async () => {
  await using polite = sh('sleep 600 & echo; wait');
  await polite.stdout[Symbol.asyncIterator]().next();
  await polite.endGroup(600_000);
  expect((await polite.ended).signal).toBe('SIGTERM');
  await using stubborn = sh('trap "" TERM; sleep 600 & echo $!; wait; sleep 600');
  const { value } = (await stubborn.stdout[Symbol.asyncIterator]().next()) as { value: Buffer };
  await stubborn.endGroup(100);
  expect((await stubborn.ended).signal).toBe('SIGKILL');
  await untilGone(value.toString().trim());
});

it('the end of a process group does not wait for zombies', async () => {
  const careless = `sleep 600 & exec setsid sh -c 'echo $$; exec sleep 600'`;
  await using child = new ChildProcess(['sh', '-c', 'sh -c "$0" & wait', careless]);
  const { value } = (await child.stdout[Symbol.asyncIterator]().next()) as { value: Buffer };
  try {
    await child.endGroup(600_000);
  } finally {
    process.kill(Number(value.toString()));
  }
});
