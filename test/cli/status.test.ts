import { spawnSync } from 'node:child_process';
import {
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { withPreloaded } from '../test-run.ts';
import { openFolderSystem } from '../../dom0-agent/qubes/folder/folder-system.ts';
import { Box, PASSPHRASE, type Run } from './box.ts';
import { lastEvent } from './events.ts';

const COFFER = new URL('../../dist/coffer', import.meta.url).pathname;
const CLOCK = new URL('fixed-clock.cjs', import.meta.url).pathname;
const ALL = ['dom0', 'debian', 'work', 'vault'];

interface Status {
  ok: boolean;
  exitStatus?: number;
  due: number;
  qubes: {
    name: string;
    state: string;
    created: string | null;
    location: string | null;
    check: { at: string; result: string } | null;
  }[];
  excluded: { name: string }[];
  warnings: string[];
}

let box: Box;
beforeEach(async () => {
  box = await Box.full();
});

const record = (): string => join(box.directory, 'dom0-state/backups.json');

/** The environment of a run at the time `clock`. */
function at(clock: string, TZ = 'UTC', LC_ALL = 'C.UTF-8'): NodeJS.ProcessEnv {
  return { TZ, LC_ALL, FIXED_CLOCK: clock, NODE_OPTIONS: withPreloaded(CLOCK) };
}

function backUp(clock: string, ...qubes: string[]): string {
  return backUpTo([box.backups], clock, qubes);
}

/** Gives the path of the new backup. */
function backUpTo(directory: readonly string[], clock: string, qubes: readonly string[]): string {
  const words = ['backup', ...box.secret, '-y', '--no-check', ...directory, ...qubes];
  const run = box.coffer(words, '', at(clock));
  expect(run.status, run.stderr).toBe(0);
  return join(box.backups, readdirSync(box.backups).sort().at(-1) ?? '');
}

function status(environment: NodeJS.ProcessEnv = {}, ...args: string[]): Status & { run: Run } {
  const run = box.loud(['status', '--json', ...args], '', environment);
  const read = lastEvent(run.stdout) as unknown as Status;
  expect(run.status).toBe(read.exitStatus ?? 0);
  return { ...read, run };
}

function states(environment: NodeJS.ProcessEnv = {}, ...args: string[]): Record<string, string> {
  const { qubes } = status(environment, ...args);
  return Object.fromEntries(qubes.map(({ name, state }) => [name, state]));
}

const each = (state: string): Record<string, string> =>
  Object.fromEntries(ALL.map((name) => [name, state]));

describe('coffer status', () => {
  it('shows which VMs were never backed up, of those that are backed up by default, and exits with 1', () => {
    const { run, excluded } = status();
    expect(run.status).toBe(1);
    expect(states()).toEqual(each('never'));
    expect(excluded).toMatchObject([{ name: 'usb' }]);
    const said = box.loud(['status']);
    expect(said.status).toBe(1);
    expect(said.stdout).toContain('Never backed up: dom0, debian, work, vault.');
    expect(said.stdout).toContain('Not backed up by default: usb.');
  });

  it('shows for each series how old its last backup is and whether one is due, and which VMs are in no series', () => {
    backUpTo(['-d', 'usb', 'backups'], '2026-03-01T09:05:03Z', ['work', 'debian']);
    const soon = box.loud(['status'], '', at('2026-03-02T00:05:03Z')).stdout;
    expect(soon).toMatch(
      /^The backup in usb:\S+: the last 15 h ago; not all files have been checked/m,
    );
    expect(soon).toContain('In no series of backups: vault.');
    const { run } = status(at('2026-03-20T00:05:03Z'));
    expect(lastEvent(run.stdout)).toMatchObject({
      series: [{ backups: 1, isDue: true, created: '2026-03-01T09:05:03.000Z' }],
      inNoSeries: [{ name: 'vault' }],
    });
    const late = box.loud(['status'], '', at('2026-03-20T00:05:03Z')).stdout;
    expect(late).toMatch(/: the last 18 days ago, so another one is due; /);
  });

  it('shows when and where each VM was backed up, and exits with 0 if that was recently', () => {
    const file = backUpTo(['-d', 'usb', 'backups'], '2026-03-01T09:05:03Z', []);
    const { ok, qubes } = status(at('2026-03-02T00:00:00Z'));
    expect(ok).toBe(true);
    for (const { created, location, check } of qubes) {
      expect(created).toBe('2026-03-01T09:05:03.000Z');
      expect(location).toBe(`usb:${file}`);
      expect(check).toBeNull();
    }
    const said = box.loud(['status'], '', at('2026-03-02T00:05:03Z'));
    expect(said.stdout).toMatch(/\nwork +2026-03-01 09:05 +15 h +no\n/);
    expect(said.stdout).toMatch(/\nIn usb:\/\S+: dom0, debian, work, vault\.\n/);
    expect(said.stdout).toContain('All VMs were backed up in the last 7 days.');
  });

  it('says that a backup is due after seven days, or as many as --due or COFFER_DUE sets', () => {
    backUp('2026-03-01T12:00:00Z');
    expect(states(at('2026-03-08T12:00:00Z'))).toEqual(each('backed up'));
    expect(states(at('2026-03-08T12:00:01Z'))).toEqual(each('due'));
    const eight = at('2026-03-09T11:00:00Z');
    expect(states(eight, '--due', '8')).toEqual(each('backed up'));
    expect(states({ ...eight, COFFER_DUE: '8' })).toEqual(each('backed up'));
    expect(states({ ...eight, COFFER_DUE: '8' }, '--due', '2')).toEqual(each('due'));
    expect(box.coffer(['status', '--due', 'x']).status).toBe(2);
    expect(box.coffer(['status'], '', { COFFER_DUE: '0' }).status).toBe(2);
  });

  it('says that a backup is due if the last one has a time in the future', () => {
    backUp('2027-03-01T12:00:00Z');
    expect(states(at('2026-03-01T12:00:00Z'))).toEqual(each('due'));
    const { stdout } = box.loud(['status'], '', at('2026-03-01T12:00:00Z'));
    expect(stdout).toContain('in the future');
  });

  it('judges each VM by its own last backup', () => {
    backUp('2026-03-01T12:00:00Z');
    backUp('2026-03-10T12:00:00Z', 'work');
    expect(states(at('2026-03-11T12:00:00Z'))).toEqual({ ...each('due'), work: 'backed up' });
    const { stdout } = box.loud(['status'], '', at('2026-03-11T12:00:00Z'));
    expect(stdout).toContain('Due for a backup: dom0, debian, vault.');
  });

  it.each([
    ['2026-03-29T01:00:09Z', 'Europe/Berlin', 'de_DE.UTF-8', '2026-03-29 03:00'],
    ['2026-01-01T00:00:00Z', 'America/St_Johns', 'ar_EG.UTF-8', '2025-12-31 20:30'],
    ['2026-12-31T18:15:09Z', 'Asia/Kathmandu', 'th_TH.UTF-8', '2027-01-01 00:00'],
  ])('shows local times: %s in %s, with the locale %s', (clock, TZ, locale, shown) => {
    const file = backUp(clock, 'work');
    const here = at(clock, TZ, locale);
    const verified = box.coffer(['verify', ...box.secret, file], '', here);
    expect(verified.status, verified.stderr).toBe(0);
    const { stdout } = box.loud(['status'], '', here);
    expect(stdout).toMatch(new RegExp(`\nwork +${shown} +0 h +${shown}\n`));
    expect(status(here).qubes.find(({ name }) => name === 'work')?.created).toBe(
      new Date(clock).toISOString(),
    );
  });
});

describe('the check of a backup', () => {
  const checks = (): Record<string, string | undefined> =>
    Object.fromEntries(status().qubes.map(({ name, check }) => [name, check?.result]));

  it.each([
    ['a verify', ['verify'], ALL],
    ['a verify of some VMs', ['verify', 'work'], ['work']],
    ['a restore under another name', ['restore', '-y', '--rename-conflicting', 'work'], ['work']],
  ])('is recorded by %s', (_, [command = '', ...args], expected) => {
    const file = box.backUp();
    const options = args.filter((word) => word.startsWith('-'));
    const qubes = args.filter((word) => !word.startsWith('-'));
    const run = box.coffer([command, '-d', 'usb', ...box.secret, ...options, file, ...qubes]);
    expect(run.status, run.stderr).toBe(0);
    const names = Object.entries(checks()).filter(([, result]) => result === 'verified');
    expect(names.map(([name]) => name)).toEqual(expected);
  });

  it('is recorded by the backup itself, which reads it back', () => {
    box.goOn();
    expect(Object.values(checks())).toEqual(ALL.map(() => 'verified'));
  });

  it('is not recorded for a later backup', () => {
    const former = backUp('2026-03-01T12:00:00Z');
    backUp('2026-03-02T12:00:00Z');
    expect(box.coffer(['verify', ...box.secret, former]).status).toBe(0);
    expect(Object.values(checks()).every((check) => check === undefined)).toBe(true);
  });

  it('that finds damage is recorded as such, and status exits with 1', () => {
    const file = box.backUp();
    box.damage(file);
    expect(box.coffer(['verify', '-d', 'usb', ...box.secret, file]).status).toBe(3);
    const found = Object.entries(states()).filter(([, state]) => state === 'damaged');
    expect(found.length).toBeGreaterThan(0);
    const said = box.loud(['status']);
    expect(said.status).toBe(1);
    expect(said.stdout).toContain('Last backup found damaged: ');
    box.backUp();
    expect(states()).toEqual(each('backed up'));
  });
});

describe('a last backup that is truncated', () => {
  it.each([['list'], ['verify'], ['restore']])('is recorded as damaged by %s', (command) => {
    const file = box.backUp();
    const path = box.fileOf(file);
    truncateSync(path, Math.floor(statSync(path).size / 2));
    const yes = command === 'restore' ? ['-y', '--rename-conflicting'] : [];
    expect(box.coffer([command, '-d', 'usb', ...box.secret, ...yes, file]).status).toBe(3);
    expect(states()).toEqual(each('damaged'));
  });
});

it('a last backup that a restore finds damaged is recorded as damaged', () => {
  const file = box.backUp(['-x', 'dom0']);
  box.damage(file);
  const words = ['restore', '-d', 'usb', ...box.secret, '-y', '--rename-conflicting', file];
  expect(box.coffer(words).status).toBe(3);
  expect(states()).toEqual({ ...each('damaged'), dom0: 'never' });
});

describe('the record of backups', () => {
  it('does not contain the passphrase, and only its owner can write it', () => {
    const file = box.backUp();
    expect(box.coffer(['verify', '-d', 'usb', ...box.secret, file]).status).toBe(0);
    expect(readFileSync(record(), 'utf8')).not.toContain(PASSPHRASE);
    expect(statSync(record()).mode & 0o777).toBe(0o644);
    const directory = join(box.directory, 'dom0-state');
    expect(statSync(directory).mode & 0o055, 'other users can get to it').toBe(0o055);
    expect(statSync(join(directory, 'series')).mode & 0o777).toBe(0o700);
    expect(readdirSync(join(box.directory, 'dom0-state'))).toEqual(['backups.json', 'series']);
  });

  it.each([
    ['lost', () => rmSync(record()), 0],
    ['damaged', () => writeFileSync(record(), '{"version":1,"la'), 1],
    ['enormous', () => writeFileSync(record(), Buffer.alloc(5_000_000, 32)), 1],
    [
      'a directory',
      () => {
        rmSync(record());
        mkdirSync(record());
      },
      1,
    ],
  ])("may be %s: the times in the VMs' properties are shown", (_, lose, warnings) => {
    backUp('2026-03-01T12:00:00Z');
    lose();
    const { qubes, warnings: said } = status(at('2026-03-02T12:00:00Z'));
    expect(said.length).toBe(warnings);
    if (warnings > 0) expect(said[0]).toContain(record());
    const work = qubes.find(({ name }) => name === 'work');
    expect(work).toMatchObject({
      state: 'backed up',
      created: '2026-03-01T12:00:00.000Z',
      location: null,
    });
    // dom0 has no property with the time of its backup.
    expect(qubes.find(({ name }) => name === 'dom0')?.state).toBe('never');
    const { stdout } = box.loud(['status'], '', at('2026-03-02T12:00:00Z'));
    expect(stdout).toMatch(/\nIn an unknown place: .*work/);
  });

  it('is set aside by the next backup if it is damaged', () => {
    box.backUp();
    writeFileSync(record(), 'damaged');
    box.backUp();
    expect(readFileSync(`${record()}.damaged`, 'utf8')).toBe('damaged');
    expect(states()).toEqual(each('backed up'));
  });

  it('gives a warning if it cannot be written, while the backup is made', () => {
    writeFileSync(join(box.directory, 'dom0-state'), 'in the way');
    const run = box.loud(['backup', '-d', 'usb', ...box.secret, '-y', 'backups', 'work']);
    expect(run.status, run.stderr).toBe(0);
    expect(run.stderr).toContain('warning: this was not recorded for coffer status: ');
    expect(run.stderr).toContain('warning: this backup was not recorded for the next one: ');
  });

  it('is ignored for a VM whose backup_timestamp is later, as after a backup by other tools', async () => {
    backUp('2026-03-01T12:00:00Z');
    const system = await openFolderSystem(box.directory);
    await system.setBackupTimestamps(['work'], Date.parse('2026-03-20T12:00:00Z') / 1000);
    const { qubes } = status(at('2026-03-21T12:00:00Z'));
    const work = qubes.find(({ name }) => name === 'work');
    expect(work).toMatchObject({ state: 'backed up', location: null, check: null });
    expect(qubes.find(({ name }) => name === 'vault')?.state).toBe('due');
  });

  it('contains everything that simultaneous backups record', async () => {
    const runs = ['work', 'vault', 'debian'].map((name) =>
      box.start(['backup', '-d', 'usb', ...box.secret, '-y', 'backups', name]),
    );
    const ends = runs.map((run) => new Promise((resolve) => run.on('exit', resolve)));
    expect(await Promise.all(ends)).toEqual([0, 0, 0]);
    const located = status().qubes.filter(({ location }) => location !== null);
    expect(located.map(({ name }) => name)).toEqual(['debian', 'work', 'vault']);
  });
});

describe('coffer status --notify', () => {
  /** The environment of a coffer whose notify-send is this script. */
  const withNotifySend = (script: string): NodeJS.ProcessEnv => {
    const bin = join(box.directory, 'dom0-state-bin');
    mkdirSync(bin);
    writeFileSync(join(bin, 'notify-send'), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    return { PATH: `${bin}:${process.env['PATH'] ?? ''}` };
  };
  const noted = (): string => join(box.directory, 'dom0-state-bin/noted');

  it('shows a notification if a backup is due, and none otherwise', () => {
    const environment = withNotifySend(`printf '%s|' "$@" > "${noted()}"`);
    expect(box.coffer(['status', '--notify'], '', environment).status).toBe(1);
    expect(readFileSync(noted(), 'utf8')).toMatch(
      /\|--\|Backups are due\|Never backed up: dom0, debian, work, vault\.\|$/,
    );
    rmSync(noted());
    box.backUp();
    expect(box.coffer(['status', '--notify'], '', environment).status).toBe(0);
    expect(() => readFileSync(noted())).toThrow();
  });

  it.each([
    ['there is no notify-send', (): NodeJS.ProcessEnv => ({ PATH: '/nosuch' }), /no notify-send/],
    ['it fails', () => withNotifySend('echo "no bus" >&2; exit 1'), /notify-send failed: no bus/],
  ])('is not an error if %s', (_, environment, sentence) => {
    const words = [COFFER, 'status', '--notify', '--system', box.directory];
    const run = spawnSync(process.execPath, words, {
      encoding: 'utf8',
      env: { ...process.env, ...environment() },
    });
    expect(run.status).toBe(1);
    expect(run.stdout).toContain('Never backed up');
    expect(run.stderr).toMatch(sentence);
  });
});
