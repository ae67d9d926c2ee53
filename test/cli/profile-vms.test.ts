import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openFolderSystem } from '../../dom0-agent/qubes/folder/folder-system.ts';
import { Dom0, STORAGE_VM } from '../qubesd/dom0.ts';
import { Box, type Run } from './box.ts';
import { lastEvent } from './events.ts';

/** A system with a profile `nightly` of these lines. */
async function boxWithProfile(lines: readonly string[]): Promise<Box> {
  const box = await Box.full(onTestFinished);
  const profiles = join(box.directory, 'profiles');
  mkdirSync(profiles, { mode: 0o700 });
  const passphrase = join(profiles, 'passphrase');
  writeFileSync(passphrase, 'nightly passphrase\n', { mode: 0o600 });
  const text = ['location = backups', 'dest-vm = usb', `passphrase-file = ${passphrase}`, ...lines];
  writeFileSync(join(profiles, 'nightly.conf'), `${text.join('\n')}\n`, { mode: 0o600 });
  return box;
}

function backUp(box: Box, ...words: readonly string[]): Run {
  const environment = { COFFER_PROFILES: join(box.directory, 'profiles') };
  return box.loud(['backup', '--profile', 'nightly', '-y', '--json', ...words], '', environment);
}

it('a profile that excludes a VM that no longer exists backs up the others, with a warning', async () => {
  const box = await boxWithProfile(['vm = work', 'exclude = gone']);
  const { status, stderr } = backUp(box);
  expect(stderr).toMatch(/warning: the profile excludes gone, but there is no such VM any more/);
  expect(status, stderr).toBe(0);
});

it('a profile that names a VM that no longer exists backs up the others, with exit status 1', async () => {
  const box = await boxWithProfile(['vm = work', 'vm = gone']);
  const { status, stdout, stderr } = backUp(box);
  expect(stderr).toMatch(
    /warning: the profile names gone, but there is no such VM: it is not backed up/,
  );
  expect(status, stderr).toBe(1);
  const result = lastEvent(stdout) as unknown as {
    ok: boolean;
    qubes: readonly { name: string }[];
  };
  expect(result.ok).toBe(false);
  expect(result.qubes.map(({ name }) => name)).toEqual(['work']);
  expect(readdirSync(box.backups)).toHaveLength(1);
});

it('a profile that names only VMs that no longer exist is refused', async () => {
  const box = await boxWithProfile(['vm = gone']);
  const { status, stderr } = backUp(box);
  expect(stderr).toMatch(/there is no VM called gone on this system/);
  expect(status).toBe(5);
  expect(readdirSync(box.backups)).toEqual([]);
});

describe('groups of VMs', () => {
  const backedUpBy = async (...words: readonly string[]): Promise<readonly string[]> => {
    const box = await Box.full(onTestFinished);
    const system = await openFolderSystem(box.directory);
    await system.setTag('work', 'weekly');
    await system.setTag('usb', 'weekly');
    const args = ['backup', '-d', 'usb', ...box.secret, '-y', '--json', 'backups', ...words];
    const { stdout, stderr } = box.loud(args);
    const event = lastEvent(stdout) as unknown as { qubes?: readonly { name: string }[] };
    return event.qubes?.map(({ name }) => name) ?? [stderr];
  };

  it.each([
    [['@tag:weekly'], ['usb', 'work']],
    [['@type:AppVM', '-x', '@tag:weekly'], ['vault']],
    [
      ['@type:TemplateVM', '@tag:weekly', 'work'],
      ['debian', 'usb', 'work'],
    ],
  ])('%j stand for %j', async (words, names) => {
    expect((await backedUpBy(...words)).toSorted()).toEqual(names);
  });

  it('without a VM are refused', async () => {
    expect(await backedUpBy('@tag:none')).toEqual([
      expect.stringMatching(/there is no VM matching @tag:none on this system/),
    ]);
  });
});

describe('--save-profile', () => {
  it('writes a profile from the command line, which makes the same backup', async () => {
    const box = await boxWithProfile([]);
    const profiles = join(box.directory, 'profiles');
    const environment = { COFFER_PROFILES: profiles };
    chmodSync(box.passphraseFile, 0o600);
    const words = ['backup', '-d', 'usb', ...box.secret, '-y', '-x', 'vault', 'backups', 'work'];
    const saved = box.loud([...words, '--save-profile', 'saved'], '', environment);
    expect(saved.status, saved.stderr).toBe(0);
    expect(readFileSync(join(profiles, 'saved.conf'), 'utf8')).toBe(
      `location = backups\nvm = work\ndest-vm = usb\npassphrase-file = ${box.passphraseFile}\n` +
        'exclude = vault\nkdf-cost = 14\n',
    );
    const again = box.bare(
      ['backup', '--system', box.directory, '--profile', 'saved', '-y'],
      '',
      environment,
    );
    expect(again.status, again.stderr).toBe(0);
    const listed = box.bare(['profiles'], '', environment);
    expect(listed.stdout).toMatch(/^saved +coffer +usb:backups +work; not vault$/m);
  });

  it('writes nothing if the backup is not confirmed, or if the profile exists', async () => {
    const box = await boxWithProfile([]);
    const profiles = join(box.directory, 'profiles');
    const environment = { COFFER_PROFILES: profiles };
    const words = ['backup', '-d', 'usb', 'backups', 'work', '--save-profile'];
    expect(box.loud([...words, 'saved'], '', environment).status).toBe(5);
    expect(readdirSync(profiles)).not.toContain('saved.conf');
    const taken = box.loud([...words, 'nightly', '-y'], '', environment);
    expect(taken.stderr).toMatch(/nightly\.conf already exists: it is not overwritten/);
    expect(taken.status).toBe(5);
    const nowhere = { COFFER_PROFILES: join(profiles, 'nowhere') };
    expect(box.loud([...words, 'saved', '-y'], '', nowhere).stderr).toMatch(
      /there is no directory \S+\/nowhere$/m,
    );
  });
});

describe('coffer prune --profile', () => {
  const prune = (box: Box, ...words: readonly string[]): Run =>
    box.bare(['prune', '--system', box.directory, '--profile', 'nightly', '-y', ...words], '', {
      COFFER_PROFILES: join(box.directory, 'profiles'),
    });

  it('forgets backups by the rules of the profile, or by those on the command line', async () => {
    const box = await boxWithProfile(['vm = work', 'keep-last = 1']);
    expect(backUp(box).status).toBe(0);
    // Rules use the time of a backup, in seconds.
    await sleep(1100);
    expect(backUp(box, '--full').status).toBe(0);
    expect(readdirSync(box.backups)).toHaveLength(2);
    const pruned = prune(box);
    expect(pruned.status, pruned.stderr).toBe(0);
    expect(pruned.stdout).toMatch(/1 backup to forget/);
    expect(prune(box, '--keep-last', '5').stdout).toMatch(/There is nothing to forget/);
  });

  it('does nothing for a profile with a command, and refuses one that also has rules', async () => {
    expect(prune(await boxWithProfile(['command = yes']))).toMatchObject({ status: 0 });
    const pruned = prune(await boxWithProfile(['command = yes', 'keep-last = 1']));
    expect(pruned.stderr).toMatch(/has a command, which keeps no series/);
    expect(pruned.status).toBe(2);
  });

  it('keeps everything if the profile has no rules', async () => {
    const box = await boxWithProfile(['vm = work']);
    expect(backUp(box).status).toBe(0);
    const pruned = prune(box);
    expect(pruned.stdout).toMatch(/^The profile nightly has no rules/);
    expect(pruned.status).toBe(0);
    expect(readdirSync(box.backups)).toHaveLength(1);
  });

  it('names the command that gives access to the place, also if it has no rules', async () => {
    const box = await boxWithProfile(['vm = work', 'through = coffer-ssh -p 2222']);
    const [result = ''] = prune(box, '--json').stdout.trim().split('\n').slice(-1);
    expect(JSON.parse(result)).toMatchObject({
      location: expect.stringMatching(/^usb:.*backups \(through coffer-ssh\)$/) as string,
    });
  });
});

describe('the passphrase of an official profile', () => {
  it('is read from the profile itself, with a warning', async () => {
    const box = await boxWithProfile([]);
    const official = join(box.directory, 'official');
    mkdirSync(official);
    const text = 'include: [work]\ndestination_vm: usb\ndestination_path: backups\n';
    writeFileSync(join(official, 'old.conf'), `${text}passphrase_text: open sesame\n`);
    const environment = { COFFER_PROFILES: '/nosuch', COFFER_QUBES_PROFILES: official };
    const made = box.loud(['backup', '--profile', 'old', '-y'], '', environment);
    expect(made.stderr).toMatch(/warning: the passphrase is in the profile old itself/);
    expect(made.status, made.stderr).toBe(0);
    const file = join(box.directory, 'sesame');
    writeFileSync(file, 'open sesame\n');
    expect(box.coffer(['list', '-d', 'usb', '-p', file, 'backups'])).toMatchObject({ status: 0 });
  });

  /** Backs up with what `service` answers; returns the outcome, and whether `passphrase` opens the backup. */
  const ask = async (
    service: string,
    passphrase = '',
  ): Promise<{ status: number | null; stderr: string; isOpened: boolean }> => {
    await using dom0 = await Dom0.make();
    const state = dom0.qubesd.store.qubes.get(STORAGE_VM);
    if (state !== undefined) state.state = 'Running';
    const official = join(dom0.scene.directory, 'official');
    mkdirSync(official);
    writeFileSync(join(dom0.scene.directory, 'qubes-rpc/qubes.BackupPassphrase'), service, {
      mode: 0o755,
    });
    const lines = `include: [work]\ndestination_vm: ${STORAGE_VM}\ndestination_path: '.'\n`;
    writeFileSync(join(official, 'old.conf'), `${lines}passphrase_vm: ${STORAGE_VM}\n`);
    const coffer = new URL('../../dist/coffer', import.meta.url).pathname;
    const words = ['backup', '--profile', 'old', '-y', '--kdf-cost', '14', '-q'];
    const env = { ...dom0.environment(), COFFER_QUBES_PROFILES: official };
    const child = spawn(coffer, words, { env, stdio: ['ignore', 'ignore', 'pipe'] });
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    const stderr = await text(child.stderr);
    const status = await ended;
    const file = join(dom0.scene.directory, 'expected');
    writeFileSync(file, `${passphrase}\n`);
    const [backup = 'none'] = dom0.stored();
    const verified = await dom0.coffer(['verify', '-d', STORAGE_VM, '-p', file, backup]);
    return { status, stderr, isOpened: verified.status === 0 };
  };

  it('is asked for in the VM that the profile names, and used without the white space around it', async () => {
    const answer = '#!/bin/sh\n[ "$1" = old ] && echo "  from the vault "\n';
    const { status, stderr, isOpened } = await ask(answer, 'from the vault');
    expect(status, stderr).toBe(0);
    expect(isOpened).toBe(true);
  });

  it.each([
    ['#!/bin/sh\n', /said nothing, which cancels/],
    ['#!/bin/sh\nprintf "a\\nb\\n"\n', /said more than one line/],
    ['#!/bin/sh\nexit 3\n', /said nothing: qubes.BackupPassphrase ended with status 3/],
    ['#!/bin/sh\nyes\n', /said more than 64 KiB/],
  ])('is refused if the VM answers with %j', async (service, message) => {
    const { status, stderr, isOpened } = await ask(service);
    expect(isOpened).toBe(false);
    expect(stderr).toMatch(message);
    expect(status).toBe(5);
  });
});
