import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { giveToOtherUser, nodeIn, otherUser } from '../other-user.ts';
import { Box } from './box.ts';
import { lastEvent } from './events.ts';

let box: Box;
/** These directories stand in for dom0's /etc/qubes and /srv/salt. */
let policies: string;
let salt: string;
beforeEach(async () => {
  box = await Box.full(onTestFinished);
  policies = join(box.directory, 'etc/qubes');
  salt = join(box.directory, 'srv/salt');
  mkdirSync(join(policies, 'policy.d'), { recursive: true });
  mkdirSync(salt, { recursive: true });
  writeFileSync(join(policies, 'policy.d/30-user.policy'), 'coffer.Store * dom0 sys-usb allow\n');
  symlinkSync('policy.d/30-user.policy', join(policies, 'link'));
  writeFileSync(join(salt, 'top.sls'), "base:\n  '*': []\n", { mode: 0o640 });
});

const paths = (): string[] => ['--dom0-path', policies, '--dom0-path', salt];
const restoredTo = (): string =>
  join(box.home, readdirSync(box.home).find((name) => name.startsWith('dom0-restored-')) ?? 'none');

function restore(backup: string, ...words: readonly string[]): ReturnType<Box['loud']> {
  return box.loud(['restore', '-d', 'usb', ...box.secret, '-y', backup, ...words]);
}

describe("dom0's configuration", () => {
  it('is restored into a new directory, under its paths, and nothing that exists is changed', () => {
    const backup = box.backUp([...paths(), '-x', 'dom0']);
    expect(box.loud(['status']).stdout).toMatch(/^dom0 +never backed up$/m);
    writeFileSync(join(salt, 'top.sls'), 'changed\n');
    const before = box.state;
    const { status, stdout, stderr } = restore(backup, 'dom0');
    expect(status, stderr).toBe(0);
    expect(stdout).toMatch(/dom0 +restored .*its configuration is in .*\/dom0-restored-/s);
    const restored = restoredTo();
    expect(readFileSync(join(restored, salt, 'top.sls'), 'utf8')).toBe("base:\n  '*': []\n");
    expect(statSync(join(restored, salt, 'top.sls')).mode & 0o777).toBe(0o640);
    expect(readlinkSync(join(restored, policies, 'link'))).toBe('policy.d/30-user.policy');
    expect(readFileSync(join(salt, 'top.sls'), 'utf8')).toBe('changed\n');
    execFileSync('rm', ['-r', restored]);
    expect(box.state).toBe(before);
  });

  it('and its home are in one backup, and are restored into two directories, as one row of the result', () => {
    const backup = box.backUp(paths());
    const { status, stdout } = restore(backup, 'dom0', '--json');
    expect(status).toBe(0);
    const { qubes } = lastEvent(stdout) as unknown as {
      qubes: readonly { name: string; remarks: readonly string[] }[];
    };
    expect(qubes.map(({ name }) => name)).toEqual(['dom0']);
    expect(qubes[0]?.remarks).toEqual([
      expect.stringMatching(/its home is in .*home-restore-/),
      expect.stringMatching(/its configuration is in .*dom0-restored-/),
    ]);
    expect(readFileSync(join(restoredTo(), policies, 'policy.d/30-user.policy'), 'utf8')).toMatch(
      /^coffer\.Store/,
    );
  });

  it('is shown in the plan and by list, and is verified', () => {
    const made = box.loud(['backup', '-d', 'usb', ...box.secret, '-y', ...paths(), 'backups']);
    expect(made.stdout).toMatch(/^dom0 +configuration/m);
    const listed = box.loud(['list', '-d', 'usb', ...box.secret, '--json', backupIn()]);
    expect(lastEvent(listed.stdout)).toMatchObject({ dom0Paths: { paths: [policies, salt] } });
    expect(box.loud(['list', '-d', 'usb', ...box.secret, backupIn()]).stdout).toMatch(
      /^dom0 +configuration/m,
    );
    const verified = box.loud(['verify', '-d', 'usb', ...box.secret, backupIn()]);
    expect(verified.stdout).toMatch(/^dom0 +verified/m);
  });

  it('is left out of a restore with -x dom0 and --distrust-settings, but not with --skip-dom0-home', () => {
    const backup = box.backUp(paths());
    expect(restore(backup, '--rename-conflicting', '-x', 'dom0').status).toBe(0);
    expect(existsSync(restoredTo())).toBe(false);
    const distrusted = restore(backup, '--rename-conflicting', '--distrust-settings');
    expect(distrusted.stdout).toMatch(/its configuration is left out: settings are distrusted/);
    expect(existsSync(restoredTo())).toBe(false);
    expect(restore(backup, 'dom0', '--skip-dom0-home').status).toBe(0);
    expect(existsSync(restoredTo())).toBe(true);
    expect(readdirSync(box.home).some((name) => name.startsWith('home-restore-'))).toBe(false);
  });

  it('is recovered by recover.sh under the name dom0', () => {
    const backup = box.fileOf(box.backUp([...paths(), '-x', 'dom0']));
    const script = new URL('../../recover.sh', import.meta.url).pathname;
    const output = join(box.directory, 'recovered');
    const words = [script, '-p', box.passphraseFile, backup];
    expect(spawnSync('sh', words, { encoding: 'utf8' }).stdout).toMatch(
      /^dom0-home\/paths .* dom0$/m,
    );
    const run = spawnSync('sh', [...words, output, 'dom0'], { encoding: 'utf8' });
    expect(run.status, run.stderr).toBe(0);
    expect(readFileSync(join(output, 'dom0-home/paths', salt, 'top.sls'), 'utf8')).toMatch(/base/);
    expect(readdirSync(join(output, 'dom0-home'))).toEqual(['paths']);
  });
});

const backupIn = (): string =>
  join(
    'backups',
    readdirSync(box.backups)
      .filter((name) => name.startsWith('qubes-backup-'))
      .sort()
      .at(-1) ?? '',
  );

describe('--dom0-path', () => {
  const backUp = (...words: readonly string[]): ReturnType<Box['loud']> =>
    box.loud(['backup', ...box.secret, '-y', ...words]);

  it.each([
    [
      'a path that does not exist',
      () => ['--dom0-path', '/nosuch', '-d', 'usb', 'backups'],
      /\/nosuch of dom0/,
      5,
    ],
    [
      'all of dom0',
      () => ['--dom0-path', '/', '-d', 'usb', 'backups'],
      /does not back up all of dom0/,
      5,
    ],
    [
      'a path in the official format',
      () => ['--dom0-path', salt, '--format', 'qubes-4', '-d', 'usb', 'backups'],
      /cannot be used with --format qubes-4/,
      2,
    ],
    [
      'a path that contains the place of the backup',
      () => ['--dom0-path', policies, join(policies, 'policy.d'), 'work'],
      /so the backup would contain itself/,
      5,
    ],
  ])('refuses %s', (_, words, message, status) => {
    const run = backUp(...words());
    expect(run.stderr).toMatch(message);
    expect(run.status).toBe(status);
    expect(readdirSync(box.backups)).toEqual([]);
  });

  it('stores each path once, none that is within another, and the target of a link in its place', () => {
    const link = join(box.directory, 'to-salt');
    symlinkSync(salt, link);
    const twice = ['--dom0-path', join(policies, 'policy.d'), '--dom0-path', link];
    const backup = box.backUp([...paths(), ...twice]);
    const listed = box.loud(['list', '-d', 'usb', ...box.secret, '--json', backup]);
    expect(lastEvent(listed.stdout)).toMatchObject({ dom0Paths: { paths: [policies, salt] } });
  });

  it('refuses a path that its user cannot read if there is no sudo, before anything is done', () => {
    const bin = join(box.directory, 'bin');
    mkdirSync(bin);
    nodeIn(bin);
    copyFileSync(new URL('../../dist/coffer', import.meta.url), join(bin, 'coffer'));
    chmodSync(join(bin, 'coffer'), 0o755);
    writeFileSync(
      join(bin, 'sudo'),
      '#!/bin/sh\necho "sudo: a password is required" >&2; exit 1\n',
      {
        mode: 0o755,
      },
    );
    mkdirSync(join(box.directory, 'kept'));
    giveToOtherUser(box.directory);
    const secret = join(salt, 'secret.sls');
    writeFileSync(secret, 'x', { mode: 0o600 });
    // If the tests run as an ordinary user, this makes it as unreadable as a file of root.
    chmodSync(secret, 0);
    const words = ['backup', '--system', box.directory, ...box.secret, '-y', '-x', 'dom0'];
    const env = { PATH: `${bin}:${process.env['PATH'] ?? ''}`, HOME: '/' };
    const all = [...words, '--dom0-path', salt, join(box.directory, 'kept')];
    const run = spawnSync(join(bin, 'coffer'), all, { ...otherUser, encoding: 'utf8', env });
    expect(run.stderr).toMatch(
      /dom0's configuration contains .*secret\.sls, which only root can read, and .*password is required/,
    );
    expect(run.status).toBe(5);
    expect(readdirSync(join(box.directory, 'kept'))).toEqual([]);
  });
});
