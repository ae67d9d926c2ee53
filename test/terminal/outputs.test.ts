import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Box, type Run } from '../cli/box.ts';
import { eventually } from '../eventually.ts';
import { lastEvent } from '../cli/events.ts';

const COFFER = new URL('../../dist/coffer', import.meta.url).pathname;

/** Runs a script in which `"$@"` is coffer with its arguments. */
function inShell(script: string, box: Box, ...args: string[]): Run {
  const [command = '', ...rest] = args;
  const own = command.startsWith('-') ? [] : ['--system', box.directory, ...box.secret];
  return spawnSync(
    'setsid',
    ['--wait', 'sh', '-c', script, 'sh', COFFER, command, ...own, ...rest],
    {
      encoding: 'utf8',
      cwd: box.directory,
    },
  );
}

const UNWRITTEN = /^coffer: the result could not be written to standard output: ./m;

describe('coffer fails if its result cannot be written', () => {
  it.each(['"$@" >/dev/full', '"$@" >&-'])('to standard output: %s', async (script) => {
    const box = await Box.full();
    const backup = box.backUp();
    for (const json of [[], ['--json']]) {
      const run = inShell(script, box, 'list', '-d', 'usb', backup, ...json);
      expect(run).toMatchObject({ status: 1 });
      expect(run.stderr).toMatch(UNWRITTEN);
    }
  });

  it('because its reader has exited', async () => {
    const box = await Box.full();
    const run = inShell('{ "$@"; echo $? >&2; } | true', box, 'list', '-d', 'usb', box.backUp());
    expect(run.stderr).toMatch(UNWRITTEN);
    expect(run.stderr).toMatch(/\n1\n$/);
  });

  it('also with --help and --version', async () => {
    const box = await Box.full();
    for (const words of ['--help', '--version']) {
      expect(inShell('"$@" >/dev/full', box, words)).toMatchObject({ status: 1 });
    }
  });

  it('but not if it is written to /dev/null', async () => {
    const box = await Box.full();
    const list = ['list', '-d', 'usb', box.backUp()];
    expect(inShell('"$@" >/dev/null', box, ...list)).toMatchObject({ status: 0 });
  });
});

describe('a standard error that cannot be written', () => {
  it.each(['"$@" 2>/dev/full', '"$@" 2>&-'])(
    'does not change the exit status: %s',
    async (script) => {
      const box = await Box.full();
      const backup = ['backup', '-d', 'usb', '--kdf-cost', '14', '-y', 'backups'];
      expect(inShell(script, box, ...backup, 'vault')).toMatchObject({ status: 0 });
      expect(inShell(script, box, ...backup, 'nosuch')).toMatchObject({ status: 5 });
    },
  );
});

describe('with --json,', () => {
  it.each([
    [['list', '--json'], 2, 'location'],
    [['backup', '--json', '--nosuch'], 2, 'nosuch'],
    [['nosuch', '--json'], 2, null],
    [['backup', '--json', '--kdf-cost', '99', 'x'], 2, 'kdf-cost'],
    [['list', '--json', '/nosuch/file'], 5, 'location'],
  ])('the error of %j is also an event', async (words, exitStatus, field) => {
    const box = await Box.full();
    const run = spawnSync('setsid', ['--wait', COFFER, ...words], {
      encoding: 'utf8',
      env: { ...process.env, COFFER_SYSTEM: box.directory },
    });
    expect(run.status).toBe(exitStatus);
    expect(lastEvent(run.stdout)).toMatchObject({ event: 'error', field, exitStatus });
    expect(run.stderr).toMatch(/^coffer: /);
  });
});

/** Waits until a process has started no other one for a second, as a program does not ignore signals while it starts. */
async function quiet(pid: number): Promise<void> {
  let children = '';
  for (let same = 0; same < 20; same++) {
    const now = spawnSync('pgrep', ['-P', `${pid}`], { encoding: 'utf8' }).stdout;
    if (now !== children) same = 0;
    children = now;
    await sleep(50);
  }
}

describe('a signal that was ignored when coffer was started', () => {
  it.each(['HUP', 'INT', 'TERM'] as const)(
    'SIG%s is ignored by it and by everything that it runs',
    async (name) => {
      const box = await Box.full();
      const script = `trap '' ${name}; exec "$@"`;
      const args = ['backup', '--system', box.directory, ...box.secret, '-y', '--kdf-cost', '14'];
      const command = 'touch begun; until [ -e go ]; do sleep 0.1; done; cat >whole';
      const run = spawn(
        'sh',
        ['-c', script, 'sh', COFFER, ...args, '--command', command, 'vault', 'dom0'],
        {
          cwd: box.directory,
          detached: true,
          stdio: 'ignore',
        },
      );
      const ended = once(run, 'exit');
      await eventually(() => existsSync(join(box.directory, 'begun')), 'the command has begun');
      await quiet(run.pid ?? 0);
      // To its whole process group, as a terminal does.
      process.kill(-(run.pid ?? 0), `SIG${name}`);
      writeFileSync(join(box.directory, 'go'), '');
      expect(await ended).toEqual([0, null]);
      expect(readFileSync(join(box.directory, 'whole')).length).toBeGreaterThan(100_000);
    },
  );
});

/** Whether a process handles SIGTERM. */
function handlesSigterm(pid: number): boolean {
  const mask = /^SigCgt:\s+(\w+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '0';
  return ((BigInt(`0x${mask}`) >> 14n) & 1n) === 1n;
}

describe('a passphrase file', () => {
  it('that is a pipe without a writer does not keep coffer from being terminated', async () => {
    const box = await Box.full();
    spawnSync('mkfifo', [join(box.directory, 'pipe')]);
    const args = [
      'list',
      '--system',
      box.directory,
      '-p',
      join(box.directory, 'pipe'),
      box.backUp(),
    ];
    const run = spawn(COFFER, [...args, '-d', 'usb'], { detached: true, stdio: 'ignore' });
    const ended = once(run, 'exit');
    await eventually(() => handlesSigterm(run.pid ?? 0), 'coffer handles signals');
    await sleep(2000);
    // No core file can contain its secrets.
    const limits = readFileSync(`/proc/${run.pid ?? 0}/limits`, 'utf8');
    expect(limits).toMatch(/^Max core file size +0 +0 /m);
    run.kill('SIGTERM');
    expect(await ended).toEqual([130, null]);
  });

  it('can be a pipe', async () => {
    const box = await Box.full();
    spawnSync('mkfifo', [join(box.directory, 'pipe')]);
    const backup = box.backUp();
    const run = inShell(
      'cat passphrase >pipe & "$@"',
      box,
      'list',
      '-d',
      'usb',
      backup,
      '-p',
      'pipe',
    );
    expect(run, run.stderr).toMatchObject({ status: 0 });
  });

  it('that cannot be read is named in the error', async () => {
    const box = await Box.full();
    writeFileSync(join(box.directory, 'none'), '');
    expect(readdirSync(box.directory)).toContain('none');
    for (const file of ['nosuch', '.']) {
      const run = inShell('"$@"', box, 'list', '-d', 'usb', box.backUp(), '-p', file);
      expect(run).toMatchObject({ status: 5 });
      expect(run.stderr).toMatch(`the passphrase file ${file} cannot be read`);
    }
  });
});
