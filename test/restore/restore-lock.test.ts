import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { symlink } from 'node:fs/promises';

import { expect, it } from 'vitest';

import { openFolderSystem } from '../../dom0-agent/qubes/folder/folder-system.ts';
import { asOnlyRestore, lockName } from '../../dom0-agent/restore/restore-lock.ts';
import { RefusedError } from '../../shared/errors.ts';
import { formatTime } from '../../shared/local-time.ts';
import { emptySystem } from './restoring-system.ts';

/** A process that holds the lock until it is killed, and gives this answer when asked who it is. */
async function holder(name: string, answer: string): Promise<ReturnType<typeof spawn>> {
  const script = `
    const [name, answer] = process.argv.slice(1);
    const server = require('node:net').createServer((socket) => { if (answer !== '') socket.end(answer); });
    server.listen('\\0' + name, () => process.stdout.write('ready'));`;
  const child = spawn(process.execPath, ['-e', script, name.slice(1), answer], { stdio: 'pipe' });
  await once(child.stdout, 'data');
  return child;
}

const begun = new Date('2026-11-25T09:08:07Z');
const nothing = (): Promise<string> => Promise.resolve('done');

it('a second restore on the same system is refused, with the process of the first', async () => {
  const { system, directory } = await emptySystem();
  await symlink(directory, `${directory}-link`);
  const other = await openFolderSystem(`${directory}-link`);
  await asOnlyRestore(system, 'restore', async () => {
    const second = asOnlyRestore(other, 'restore', nothing);
    await expect(second).rejects.toThrow(RefusedError);
    await expect(second).rejects.toThrow(
      new RegExp(
        `another restore .*process ${process.pid}, started \\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d UTC`,
      ),
    );
  });
  expect(await asOnlyRestore(other, 'restore', nothing)).toBe('done');
});

it('restores on two systems can run at the same time', async () => {
  const [{ system: one }, { system: other }] = [await emptySystem(), await emptySystem()];
  const both = asOnlyRestore(one, 'restore', () => asOnlyRestore(other, 'restore', nothing));
  expect(await both).toBe('done');
});

it('a restore that failed does not block the next one', async () => {
  const { system } = await emptySystem();
  const failing = asOnlyRestore(system, 'restore', () => Promise.reject(new Error('it failed')));
  await expect(failing).rejects.toThrow('it failed');
  expect(await asOnlyRestore(system, 'restore', nothing)).toBe('done');
});

it('a restore that was killed does not block the next one', async () => {
  const { system } = await emptySystem();
  const child = await holder(await lockName(system), `42 ${begun.getTime()} restore`);
  await expect(asOnlyRestore(system, 'restore', nothing)).rejects.toThrow(
    `by the process 42, started ${formatTime(begun)}:`,
  );
  child.kill('SIGKILL');
  await once(child, 'close');
  expect(await asOnlyRestore(system, 'restore', nothing)).toBe('done');
});

it.each([
  ['does not answer', ''],
  ['gives an invalid answer', '1 \u001b[31mfoo restore'],
])('a restore is refused while a process holds the lock that %s', async (_, answer) => {
  const { system } = await emptySystem();
  const child = await holder(await lockName(system), answer);
  try {
    await expect(asOnlyRestore(system, 'restore', nothing)).rejects.toThrow(
      /^another restore is running in .*, by a process that does not answer: wait/,
    );
  } finally {
    child.kill('SIGKILL');
  }
});

it('a restore waits for a process that cleans up after a killed restore', async () => {
  const { system } = await emptySystem();
  const child = await holder(await lockName(system), `42 ${begun.getTime()} cleanup`);
  const waiting = asOnlyRestore(system, 'restore', nothing);
  child.kill('SIGKILL');
  expect(await waiting).toBe('done');
});
