import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Box } from './box.ts';
import { lastEvent } from './events.ts';

const COFFER = new URL('../../dist/coffer', import.meta.url).pathname;
const FIRST = 'qubes-backup-2026-01-02T030405';
const LAST = 'qubes-backup-2026-11-24T201500';

interface Listed {
  backups: {
    name: string;
    created: string | null;
    format: string | null;
    backupId: string | null;
    bytes: number;
    qubes: string[] | null;
    dom0Home: boolean | null;
    problem: string | null;
  }[];
  others: string[];
}

let box: Box;
let dom0: string;
/** The file names of the two intact backups. */
let made: string[];

beforeAll(async () => {
  box = await Box.full(() => undefined);
  const own = box.backUp();
  made = [own.replace('backups/', '')];
  const official = box.backUp(['--format', 'qubes-4', '--compress-filter', 'gzip']);
  made.push(official.replace('backups/', ''));
  const at = (name: string): string => join(box.backups, name);
  copyFileSync(at(made[0] ?? ''), at(FIRST));
  copyFileSync(at(made[0] ?? ''), at('the good one'));
  writeFileSync(at(LAST), 'a letter, not a backup');
  writeFileSync(at(`${LAST}-2.partial`), 'the beginning of one');
  writeFileSync(at('letter\u001b[2J\u202e'), 'Dear reader');
  mkdirSync(at('photos'));
  // A backup of which only the header is there.
  copyFileSync(at(FIRST), at('qubes-backup-2025-12-31T235959'));
  truncateSync(at('qubes-backup-2025-12-31T235959'), 4096);
  dom0 = box.backups;
});
afterAll(() => rmSync(box.directory, { recursive: true }));

function listed(...args: string[]): Listed {
  const { status, stdout, stderr } = box.loud(['list', '--json', ...args]);
  expect(status, stderr).toBe(0);
  return lastEvent(stdout) as unknown as Listed;
}

describe.each([
  ['of a VM', (): string[] => ['-d', 'usb', 'backups']],
  ['of dom0', (): string[] => [dom0]],
])('coffer list of a directory %s', (_, place) => {
  it('shows the backups in it, newest first, and counts the other files', () => {
    const { status, stdout, stderr } = box.loud(['list', ...place()]);
    expect(status, stderr).toBe(0);
    expect(stdout).toMatch(/^7 backups in (usb|dom0):\/.*backups \(.* free there\)\n/);
    expect(stdout).toMatch(new RegExp(`\n${FIRST} +2026-01-02 03:04 +coffer-1 +\\S+ kiB\n`, 'i'));
    expect(stdout).toContain('Nothing was checked');
    expect(stdout).toContain('Not backups: 1 other file.');
    const names = stdout
      .split('\n')
      .flatMap((line) => /^(qubes-backup-\S+|the good one)/.exec(line)?.[1] ?? []);
    expect(names.indexOf(FIRST)).toBeGreaterThan(names.indexOf(made[0] ?? ''));
    expect(names.at(-1)).toBe('the good one');
  });

  it('shows their contents, with the passphrase', () => {
    const { backups } = listed(...place(), ...box.secret);
    const good = backups.filter(({ name }) => [...made, 'the good one'].includes(name));
    expect(good.length).toBe(new Set([...made, 'the good one']).size);
    for (const { qubes, dom0Home, problem } of good) {
      expect(qubes).toEqual(['debian', 'work', 'vault']);
      expect([dom0Home, problem]).toEqual([true, null]);
    }
  });

  it("shows the authenticated time rather than the one in the file's name", () => {
    const { backups } = listed(...place(), ...box.secret);
    const times = new Map(backups.map(({ name, created }) => [name, created]));
    expect(times.get(FIRST)).toBe(times.get(made[0] ?? ''));
    expect(times.get('the good one')).toBe(times.get(FIRST));
  });

  it('shows the format and the id in the header, without the passphrase', () => {
    const { backups, others } = listed(...place());
    const formats = Object.fromEntries(backups.map(({ name, format }) => [name, format]));
    expect(formats).toMatchObject({
      [FIRST]: 'coffer-1',
      [LAST]: null,
      'the good one': 'coffer-1',
    });
    expect(Object.values(formats)).toContain('qubes-4');
    const ids = backups.filter(({ name }) => [FIRST, 'the good one'].includes(name));
    expect(new Set(ids.map(({ backupId }) => backupId)).size).toBe(1);
    expect(ids[0]?.backupId).toMatch(/^[0-9a-f]{32}$/);
    expect(others).toEqual(['letter?[2J?']);
  });

  it('says which files are not backups, unfinished or damaged', () => {
    const { backups } = listed(...place(), ...box.secret);
    const problems = Object.fromEntries(backups.map(({ name, problem }) => [name, problem]));
    expect(problems[LAST]).toBe('not a backup');
    expect(problems[`${LAST}-2.partial`]).toBe('unfinished');
    expect(problems['qubes-backup-2025-12-31T235959']).toMatch(/cut short|damaged|ends/);
  });

  it('also shows the backups with another passphrase', () => {
    const { backups } = listed(...place(), '-p', '/etc/os-release');
    for (const { qubes, format, problem } of backups) {
      expect(qubes).toBeNull();
      if (format !== null) expect(problem).toMatch(/another passphrase/);
    }
    const shown = box.loud(['list', ...place(), '-p', '/etc/os-release']).stdout;
    expect(shown).toMatch(/^Nothing was checked: /m);
    expect(shown).not.toContain('were checked');
  });
});

describe('coffer list of a directory', () => {
  /** What a terminal shows when `typed` is typed. */
  const atTerminal = (typed: string, ...args: string[]): string => {
    const words = [COFFER, 'list', '--system', box.directory, '-d', 'usb', ...args, 'backups'];
    const { stdout } = spawnSync(
      'script',
      ['--quiet', '--return', '--command', words.join(' '), '/dev/null'],
      { input: typed, encoding: 'utf8' },
    );
    return stdout;
  };

  it('asks for the passphrase at a terminal, and continues if none is typed', () => {
    expect(atTerminal('correct horse battery staple\n')).toMatch(/debian, work, vault, dom0/);
    const without = atTerminal('\n');
    expect(without).toContain('press Enter');
    expect(without).toContain('7 backups in usb:');
    expect(without).not.toContain('vault');
  });

  it('does not ask for the passphrase with --no-contents', () => {
    const shown = atTerminal('', '--no-contents');
    expect(shown).toContain('7 backups in usb:');
    expect(shown).not.toContain('Passphrase');
    expect(
      listed('--no-contents', '-d', 'usb', 'backups', ...box.secret).backups[0]?.qubes,
    ).toBeNull();
  });

  it('says that it is empty', () => {
    mkdirSync(join(box.backups, 'photos/of-us'));
    const { status, stdout } = box.loud(['list', '-d', 'usb', 'backups/photos/of-us']);
    expect([status, stdout.split(' in usb:')[0]]).toEqual([0, '0 backups']);
  });

  it('is refused if it does not exist', () => {
    const { status, stderr } = box.coffer(['list', '-d', 'usb', 'nosuch', ...box.secret]);
    expect([status, stderr]).toEqual([5, expect.stringContaining('nosuch does not exist in usb')]);
  });

  it('opens all backups of a series, which need only one key', () => {
    const many = join(box.backups, 'photos/many');
    mkdirSync(many);
    for (let number = 0; number < 120; number++) {
      copyFileSync(join(box.backups, made[0] ?? ''), join(many, nameFor(number)));
    }
    const { backups } = listed(many, ...box.secret);
    expect(backups.filter(({ qubes }) => qubes !== null).length).toBe(120);
  });

  it('derives no more than fifty keys', () => {
    const many = join(box.backups, 'photos/many-keys');
    mkdirSync(many);
    const backup = readFileSync(join(box.backups, made[0] ?? ''));
    const at = backup.indexOf('series-id=') + 'series-id='.length;
    for (let number = 0; number < 60; number++) {
      backup.write(number.toString(16).padStart(8, '0'), at);
      writeFileSync(join(many, nameFor(number)), backup);
    }
    const problems = listed(many, ...box.secret).backups.map(({ problem }) => problem);
    expect(problems.filter((problem) => problem?.includes('another passphrase')).length).toBe(50);
    expect(problems.slice(50).every((problem) => problem?.startsWith('not opened'))).toBe(true);
  });
});

/** Names of backups: a higher number is an older one. */
function nameFor(number: number): string {
  const [minute, second] = [59 - Math.floor(number / 60), 59 - (number % 60)];
  return `qubes-backup-2026-02-01T00${minute}${`${second}`.padStart(2, '0')}`;
}
