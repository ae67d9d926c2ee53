import { type SpawnSyncReturns, execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../eventually.ts';
import { giveToOtherUser, nodeIn, otherUser } from '../other-user.ts';
import { Box } from './box.ts';
import { lastEvent } from './events.ts';

let box: Box;
let coffer: string;
beforeEach(async () => {
  box = await Box.full();
  // Another user may have no access to the clone.
  coffer = join(box.directory, 'bin/coffer');
  mkdirSync(join(box.directory, 'bin'));
  nodeIn(join(box.directory, 'bin'));
  copyFileSync(new URL('../../dist/coffer', import.meta.url), coffer);
  chmodSync(coffer, 0o755);
  useSudo('echo "sudo: a password is required" >&2; exit 1');
});

function useSudo(script: string): void {
  writeFileSync(join(box.directory, 'bin/sudo'), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

function command(args: readonly string[]): string[] {
  const [name = '', ...rest] = args;
  const cheap = name === 'backup' ? ['--kdf-cost', '14'] : [];
  return [coffer, name, '--system', box.directory, ...box.secret, ...cheap, ...rest];
}

function environment(): NodeJS.ProcessEnv {
  return { PATH: `${join(box.directory, 'bin')}:${process.env['PATH'] ?? ''}`, HOME: '/' };
}

function run(...args: string[]): SpawnSyncReturns<string> {
  giveToOtherUser(box.directory);
  const [program = '', ...rest] = command(args);
  return spawnSync(program, rest, { ...otherUser, encoding: 'utf8', env: environment() });
}

/** Backs up dom0's home and vault into dom0; returns the file. */
function backUp(): string {
  mkdirSync(join(box.directory, 'kept'), { recursive: true });
  const made = run('backup', '-y', join(box.directory, 'kept'), 'dom0', 'vault');
  expect(made.status, made.stderr).toBe(0);
  return join(box.directory, 'kept', readdirSync(join(box.directory, 'kept'))[0] ?? '');
}

/** Go's module cache has such directories. */
function addReadOnlyDirectory(): void {
  mkdirSync(join(box.home, 'go/mod'), { recursive: true });
  writeFileSync(join(box.home, 'go/mod/file'), 'x', { mode: 0o444 });
  for (const directory of ['go/mod', 'go']) chmodSync(join(box.home, directory), 0o555);
}

const restoredHomes = () => readdirSync(box.home).filter((name) => name.includes('home-restore-'));

describe('a home that its user cannot read completely', () => {
  beforeEach(() => writeFileSync(join(box.home, 'closed'), 'x', { mode: 0 }));

  it('is refused with the reason if sudo fails, before anything is done', () => {
    const old = join(box.directory, 'old');
    writeFileSync(old, 'the old backup');
    for (const to of [[box.directory], ['--command', `cat >${old}`]]) {
      const refused = run('backup', '-y', '--json', ...to, 'dom0');
      expect(refused.status).toBe(5);
      expect(lastEvent(refused.stdout)).toMatchObject({ event: 'error', exitStatus: 5 });
      expect(refused.stderr).toMatch(/home contains .*\/closed, which only root can read/);
      expect(refused.stderr).toMatch(/sudo asks for a password/);
      expect(refused.stderr).toMatch(/-x dom0/);
    }
    expect(readFileSync(old, 'utf8')).toBe('the old backup');
    expect(readdirSync(box.directory).filter((name) => name.startsWith('qubes-backup'))).toEqual(
      [],
    );
  });

  it('can be left out, as the refusal advises', () => {
    expect(run('backup', '-y', box.directory, '-x', 'dom0', '-x', 'debian').status).toBe(0);
  });

  it('fails in its row if root cannot, either; the rest is stored, and the exit status is 1', () => {
    useSudo('shift 2; exec "$@"');
    const made = run('backup', '-y', '--json', box.directory, 'dom0', 'vault');
    expect(made.status).toBe(1);
    const why = 'not all of its home could be read: closed: Cannot open: Permission denied';
    const result = lastEvent(made.stdout) as unknown as { path: string; qubes: unknown[] };
    expect(result).toMatchObject({
      ok: false,
      qubes: [{ name: 'vault' }, { name: 'dom0', failure: why }],
    });
    expect(result.qubes[0]).toHaveProperty('failure', null);
    const said = run('backup', '-y', box.directory, 'dom0').stdout;
    expect(said).toMatch(/^dom0 .* failed: not all of its home could be read: closed: /m);
    expect(said).toMatch(/^Not everything was backed up: dom0 failed/m);
    expect(run('verify', result.path).status).toBe(0);
  });
});

describe('the size of a home', () => {
  it('is shown in the plan of a backup, by list and in the plan of a restore', () => {
    execFileSync('dd', [
      'if=/dev/urandom',
      `of=${box.home}/large`,
      'bs=1M',
      'count=3',
      'status=none',
    ]);
    const made = run('backup', '-y', box.directory, 'dom0');
    expect(made.stdout).toMatch(/^dom0 +home .* 3(\.\d+)? MiB/m);
    expect(made.stdout).toMatch(/^3(\.\d+)? MiB in all/m);
    const [name = ''] = readdirSync(box.directory).filter((each) => each.startsWith('qubes-'));
    const backup = join(box.directory, name);
    expect(run('list', backup).stdout).toMatch(/^dom0 +home .* 3(\.\d+)? MiB$/m);
    expect(run('restore', '-y', backup).stdout).toMatch(
      /^dom0 +a new directory +home +3(\.\d+)? MiB$/m,
    );
  });
});

describe('a home with a read-only directory', () => {
  it('leaves nothing behind if the backup is damaged, and the error is the damage', () => {
    addReadOnlyDirectory();
    const backup = backUp();
    const bytes = readFileSync(backup);
    const manifest = bytes.indexOf('manifest.000\0');
    bytes[manifest + 600] = (bytes[manifest + 600] ?? 0) ^ 1;
    const damaged = join(box.directory, 'damaged');
    writeFileSync(damaged, bytes);
    // As a stream, so that the home is unpacked before the damage is found.
    const failed = run('restore', '-y', '--command', `cat ${damaged}`, 'dom0');
    expect(failed.stderr).toMatch(/manifest.000 in the backup was damaged or tampered with/);
    expect(failed.stderr).not.toMatch(/left over/);
    expect(failed.status).toBe(3);
    expect(restoredHomes()).toEqual([]);

    expect(run('restore', '-y', backup, 'dom0').status).toBe(0);
    const [restored = ''] = restoredHomes();
    expect(statSync(join(box.home, restored, 'go/mod')).mode & 0o777).toBe(0o555);
  });

  it.each([
    ['interrupted', 'SIGINT', 130],
    ['killed', 'SIGKILL', null],
  ] as const)('leaves nothing behind if its restore is %s', async (_, signal, status) => {
    addReadOnlyDirectory();
    execFileSync('dd', [
      'if=/dev/urandom',
      `of=${box.home}/zz`,
      'bs=1M',
      'count=30',
      'status=none',
    ]);
    const backup = backUp();
    const half = `head -c 29000000 ${backup}; exec sleep 600`;
    const [program = '', ...args] = command(['restore', '-y', '--command', half, 'dom0']);
    const restoring = spawn(program, args, { ...otherUser, stdio: 'ignore', env: environment() });
    const ended = new Promise((resolve) => restoring.once('close', resolve));
    const unpacked = () =>
      restoredHomes().some((name) => existsSync(join(box.home, name, 'go/mod')));
    await eventually(unpacked, 'the home is being unpacked');
    restoring.kill(signal);
    expect(await ended).toBe(status);
    // Another process cleans up after one that was killed.
    await eventually(() => restoredHomes().length === 0, 'the home is removed');
  });
});

describe('a home that a killed restore has left', () => {
  it('gives a warning if it cannot be removed, and the next restore continues', () => {
    const backup = backUp();
    mkdirSync(join(box.home, '.home-restore-coffer.1.1.0123abcd'));
    chmodSync(box.home, 0o555);
    const restored = run('restore', '-y', '--json', '--rename-conflicting', backup, 'vault');
    chmodSync(box.home, 0o755);
    expect(restored.status, restored.stderr).toBe(0);
    expect(restored.stderr).toMatch(
      /warning: .*left over: .*\.home-restore-coffer\.1\.1\.0123abcd/,
    );
    const result = lastEvent(restored.stdout) as unknown as { warnings: string[] };
    expect(result.warnings.join()).toMatch(/left over/);
  });
});

describe('a home that cannot be restored completely', () => {
  it('is kept as far as it was unpacked; the result names the reason, and the exit status is 1', () => {
    execFileSync('dd', ['if=/dev/urandom', `of=${box.home}/zz`, 'bs=1M', 'count=3', 'status=none']);
    const backup = backUp();
    giveToOtherUser(box.directory);
    const limited = [
      '-c',
      'ulimit -f 2000; exec "$@"',
      'sh',
      ...command(['restore', '-y', backup, 'dom0']),
    ];
    const { status, stdout } = spawnSync('bash', limited, {
      ...otherUser,
      ...{ encoding: 'utf8', env: environment() },
    });
    expect(stdout).toMatch(
      /^dom0 +restored in part .* its home is in .*; tar was ended by SIGXFSZ/m,
    );
    expect(stdout).toMatch(/^Restored, but dom0 only in part/m);
    expect(status).toBe(1);
    expect(restoredHomes()).toHaveLength(1);
  });
});
