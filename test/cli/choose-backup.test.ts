import { renameSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { withPreloaded } from '../test-run.ts';
import { ExitStatus } from '../../shared/errors.ts';
import { Box } from './box.ts';
import { lastEvent } from './events.ts';

/** Has a directory with backups of two days, under names without a date. */
let box: Box;
const cleanUps: (() => Promise<void>)[] = [];
beforeAll(async () => {
  box = await Box.full((cleanUp) => cleanUps.push(cleanUp));
  const backUp = (day: string, name: string): void => {
    const clock = new URL('fixed-clock.cjs', import.meta.url).pathname;
    const environment = { NODE_OPTIONS: withPreloaded(clock), FIXED_CLOCK: `${day}T12:00:00Z` };
    const words = ['backup', '-d', 'usb', ...box.secret, '-y', 'backups', 'work'];
    const { status, stderr } = box.coffer(words, '', { ...environment, TZ: 'UTC' });
    if (status !== 0) throw new Error(stderr);
    renameSync(join(box.backups, `qubes-backup-${day}T120000`), join(box.backups, name));
  };
  backUp('2026-10-01', 'z-older');
  backUp('2026-11-02', 'a-newer');
  writeFileSync(join(box.backups, 'notes.txt'), "the user's notes");
});
afterAll(() => Promise.all(cleanUps.map((cleanUp) => cleanUp())));

const verify = (location: string, ...words: string[]) =>
  box.loud(['verify', '-d', 'usb', ...box.secret, ...words, location], '', { TZ: 'UTC' });

describe('a directory that is named instead of a backup', () => {
  it('stands for the newest backup in it, by the authenticated time', () => {
    const { status, stdout, stderr } = verify('backups');
    expect(status, stderr).toBe(ExitStatus.done);
    expect(stdout).toContain('made on 2026-11-02 12:00:00');
  });

  it('stands for the one with the highest number, also if the clock was ahead for an earlier one', async () => {
    const other = await Box.full((cleanUp) => cleanUps.push(cleanUp), 'dom0');
    const clock = withPreloaded(new URL('fixed-clock.cjs', import.meta.url).pathname);
    for (const day of ['2026-10-01', '2030-01-01', '2026-10-02', '2026-10-03']) {
      const environment = { NODE_OPTIONS: clock, FIXED_CLOCK: `${day}T12:00:00Z` };
      const words = ['backup', ...other.secret, '-y', '--no-check', 'backups', 'work'];
      expect(other.coffer(words, '', environment)).toMatchObject({ status: 0 });
    }
    const run = other.loud(['verify', ...other.secret, 'backups']);
    expect(run.stdout).toContain('number 4 of its series');
    expect(run.stderr).not.toContain('newer');
    const list = other.loud(['list', '--json', ...other.secret, 'backups']);
    const backups = lastEvent(list.stdout)['backups'] as { sequence: number }[];
    expect(backups.map(({ sequence }) => sequence)).toEqual([4, 3, 2, 1]);
  }, 60_000);

  it.each(['2026-10-01', '2026-10-01T12', '2026-10-01T12:00'])(
    'with @%s stands for the backup of that time',
    (date) => {
      const { status, stdout, stderr } = verify(`backups@${date}`);
      expect(status, stderr).toBe(ExitStatus.done);
      expect(stdout).toContain('made on 2026-10-01 12:00:00');
    },
  );

  it('is refused with a date that no backup has, and says which dates there are', () => {
    const { status, stderr } = verify('backups@2026-10-02');
    expect(status).toBe(ExitStatus.refused);
    expect(stderr).toMatch(
      /no backup of 2026-10-02 in usb:\S+\/backups, only of 2026-11-02 12:00:00 UTC, 2026-10-01/,
    );
  });

  it('can be restored from', async () => {
    const other = await Box.empty((cleanUp) => cleanUps.push(cleanUp));
    for (const name of ['z-older', 'a-newer']) {
      renameSync(join(box.backups, name), join(other.backups, name));
    }
    try {
      const words = ['restore', '-d', 'usb', ...box.secret, '-y', '--ignore-missing'];
      const { status, stdout, stderr } = other.loud([...words, 'backups']);
      expect(status, stderr).toBe(ExitStatus.done);
      expect(stdout).toMatch(/work +restored/);
    } finally {
      for (const name of ['z-older', 'a-newer']) {
        renameSync(join(other.backups, name), join(box.backups, name));
      }
    }
  });

  it('is refused if it contains no backup', () => {
    const { status, stderr } = verify('.');
    expect(status).toBe(ExitStatus.refused);
    expect(stderr).toContain('contains no backup that can be opened');
  });

  it('is refused with another passphrase as the file of a backup is', () => {
    for (const location of ['backups', 'backups@2026-11-02', 'backups/a-newer']) {
      const words = ['verify', '-d', 'usb', '-p', '/etc/os-release', location];
      const { status, stderr } = box.loud(words);
      expect(stderr).toContain('passphrase');
      expect(status, location).toBe(ExitStatus.damaged);
    }
  });

  it('is damaged if all of its backups are', async () => {
    const other = await Box.full((cleanUp) => cleanUps.push(cleanUp));
    const backup = other.fileOf(other.backUp());
    truncateSync(backup, statSync(backup).size - 20_000);
    const { status, stderr } = other.loud(['verify', '-d', 'usb', ...other.secret, 'backups']);
    expect(stderr).toMatch(/contains no backup that can be opened|damaged|cut short/);
    expect(status).toBe(ExitStatus.damaged);
  });

  it('gives a warning about a file that may be newer and cannot be opened', () => {
    const file = join(box.backups, 'qubes-backup-2026-11-20T120000');
    writeFileSync(file, 'cut off');
    const unfinished = join(box.backups, 'qubes-backup-2026-11-21T120000.partial');
    writeFileSync(unfinished, 'cut off');
    const newest = verify('backups');
    const dated = verify('backups@2026-10-01');
    renameSync(file, join(box.directory, 'away'));
    renameSync(unfinished, join(box.directory, 'away, too'));
    expect([newest.status, dated.status]).toEqual([ExitStatus.done, ExitStatus.done]);
    expect(newest.stderr).toContain('2026-11-20T120000 may be newer than a-newer: not a backup');
    expect(newest.stderr + dated.stderr).not.toContain('2026-11-21');
    expect(dated.stderr).not.toContain('may be newer');
  });
});

describe('--at-least', () => {
  it('refuses a backup with a smaller number in its series', () => {
    const words = ['restore', '-d', 'usb', ...box.secret, '-y', '--rename-conflicting'];
    const { status, stderr } = box.loud([...words, '--at-least', '2', 'backups']);
    expect(status).toBe(ExitStatus.refused);
    expect(stderr).toMatch(/number 1 of its series, but you asked for at least 2/);
  });
});
