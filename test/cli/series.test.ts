import { randomBytes } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { withPreloaded } from '../test-run.ts';
import { openFolderSystem } from '../../dom0-agent/qubes/folder/folder-system.ts';
import { differencesOf } from '../../tools/demo/compare.ts';
import { Box, type Run } from './box.ts';
import { lastEvent } from './events.ts';

const SIZE = 8_000_000;
const never = new AbortController().signal;

/** Changes some of the private volume of a VM. */
async function change(box: Box, name: string, offset: number, bytes: Buffer): Promise<void> {
  const system = await openFolderSystem(box.directory);
  async function* pieces(): AsyncGenerator<{ offset: number; bytes: Buffer }> {
    yield await Promise.resolve({ offset, bytes });
  }
  await system.importVolume(name, 'private', SIZE, pieces(), never);
}

function imageOf(box: Box, name: string): Buffer {
  return readFileSync(join(box.directory, 'appvms', name, 'private.img'));
}

/** Copies all backups of a box to another one. */
function copyAll(from: Box, to: Box): void {
  for (const name of readdirSync(from.backups)) {
    copyFileSync(join(from.backups, name), join(to.backups, name));
  }
}

function restore(box: Box, backup: string, ...qubes: string[]): Run {
  return box.coffer(['restore', ...box.secret, '-y', backup, ...qubes]);
}

function backUp(box: Box, ...words: string[]): Run {
  return box.loud(['backup', ...box.secret, '-y', 'backups', ...words]);
}

describe('backups in one directory', () => {
  it('that run at the same time wait for each other and continue from each other, and report nothing as lost', async () => {
    const box = await Box.full(undefined, 'dom0');
    box.goOn();
    const names = ['work', 'vault', 'debian'];
    const runs = names.map((name) => box.start(['backup', ...box.secret, '-y', 'backups', name]));
    const said = await Promise.all(runs.map((run) => text(run.stderr)));
    expect(said.join('')).not.toMatch(/lost/);
    expect(box.coffer(['backup', ...box.secret, '-y', 'backups']).stderr).toBe('');
    expect(readdirSync(box.backups)).toHaveLength(5);
    expect(box.coffer(['verify', '--all', ...box.secret, 'backups'])).toMatchObject({
      status: 0,
    });
  }, 120_000);

  it('store what has changed, and each restores its own day', async () => {
    const box = await Box.full(undefined, 'dom0');
    const days: { backup: string; image: Buffer }[] = [];
    for (let day = 0; day < 3; day++) {
      if (day > 0) await change(box, 'work', 2_000_000 * day, randomBytes(300_000));
      days.push({ backup: box.goOn(), image: imageOf(box, 'work') });
    }
    const sizes = days.map(({ backup }) => readFileSync(box.fileOf(backup)).length);
    expect(sizes[2]).toBeLessThan(sizes[0] ?? 0);
    for (const { backup, image } of days) {
      expect(box.coffer(['verify', ...box.secret, backup])).toMatchObject({
        status: 0,
      });
      const fresh = await Box.empty();
      copyAll(box, fresh);
      expect(restore(fresh, backup, 'work')).toMatchObject({ status: 0 });
      expect(imageOf(fresh, 'work').equals(image), backup).toBe(true);
    }
  }, 240_000);

  it('say how much has changed', async () => {
    const box = await Box.full(undefined, 'dom0');
    box.goOn();
    expect(backUp(box).stdout).toMatch(/^0 of 3 VMs changed; 0 B new, \S+ MiB already there; /m);
    await change(box, 'work', 3_000_000, randomBytes(300_000));
    const { status, stdout } = backUp(box);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^It continues from the 2 backups there, the last one made on /m);
    expect(stdout).toMatch(/^1 of 3 VMs changed; \d+ KiB new, /m);
    const json = box.coffer(['backup', ...box.secret, '-y', '--json', 'backups']);
    expect(lastEvent(json.stdout)).toMatchObject({ changedVms: 0, newBytes: 0, ok: true });
  });

  it('may contain different VMs', async () => {
    const box = await Box.full(undefined, 'dom0');
    const first = box.goOn(['-x', 'vault']);
    await change(box, 'vault', 3_000_000, randomBytes(300_000));
    box.goOn(['-x', 'work']);
    const all = box.goOn();
    const fresh = await Box.empty();
    copyAll(box, fresh);
    expect(restore(fresh, all, 'work', 'vault', 'dom0')).toMatchObject({ status: 0 });
    expect(await differencesOf(box.directory, fresh.directory, ['work', 'vault'])).toEqual([]);
    expect(basename(first)).not.toBe(basename(all));
  });

  it('are refused with another passphrase, before anything is read or stored', async () => {
    const box = await Box.full(undefined, 'dom0');
    box.goOn();
    const other = join(box.directory, 'other');
    writeFileSync(other, 'another passphrase\n');
    const run = box.loud(['backup', '-p', other, '-y', 'backups']);
    expect(run.status).toBe(3);
    expect(run.stderr).toContain('the passphrase is wrong');
    expect(run.stderr).not.toContain('private');
    expect(readdirSync(box.backups)).toHaveLength(1);
  });

  it('continue the newest series, even if the clock was ahead when another one was continued', async () => {
    const box = await Box.full(undefined, 'dom0');
    const clock = withPreloaded(new URL('fixed-clock.cjs', import.meta.url).pathname);
    const ahead = { NODE_OPTIONS: clock, FIXED_CLOCK: '2099-01-01T12:00:00Z' };
    const words = ['backup', ...box.secret, '-y', 'backups'];
    expect(box.coffer(words, '', ahead)).toMatchObject({ status: 0 });
    const [card = ''] = /series \w{8}/.exec(box.loud([...words, '--new-series']).stdout) ?? [];
    expect(box.loud(words).stdout).toContain(`${card}, number 2, `);
  }, 60_000);

  it('need no other with --full or --new-series', async () => {
    const box = await Box.full(undefined, 'dom0');
    box.goOn();
    const full = box.goOn(['--full']);
    const other = join(box.directory, 'other');
    writeFileSync(other, 'another passphrase\n');
    const anew = box.coffer(['backup', '-p', other, '-y', '--new-series', 'backups']);
    expect(anew).toMatchObject({ status: 0 });
    const last = join('backups', readdirSync(box.backups).sort().at(-1) ?? '');
    for (const [backup, passphrase] of [
      [full, box.passphraseFile],
      [last, other],
    ] as const) {
      const fresh = await Box.empty();
      box.copyTo(fresh, backup);
      const words = ['restore', '-p', passphrase, '-y', backup, 'work'];
      expect(fresh.coffer(words)).toMatchObject({ status: 0 });
      expect(imageOf(fresh, 'work').equals(imageOf(box, 'work'))).toBe(true);
    }
  }, 120_000);

  it.each([
    ['a missing file', (path: string) => rmSync(path)],
    [
      'a truncated file',
      (path: string) => writeFileSync(path, readFileSync(path).subarray(0, 9000)),
    ],
  ])(
    'store again what was in %s, and say so',
    async (_, lose) => {
      const box = await Box.full(undefined, 'dom0');
      const first = box.goOn();
      await change(box, 'work', 3_000_000, randomBytes(300_000));
      box.goOn();
      lose(box.fileOf(first));
      const before = readdirSync(box.backups);
      const run = backUp(box);
      expect(run.status).toBe(0);
      expect(run.stderr.replaceAll('\n', ' ')).toMatch(/the storage has lost files of this series/);
      // If it was made in the same second, it may have the name of the missing one.
      const [made = ''] = readdirSync(box.backups).filter((name) => !before.includes(name));
      const fresh = await Box.empty();
      copyAll(box, fresh);
      const last = join('backups', made);
      expect(restore(fresh, last, 'work', 'vault', 'dom0')).toMatchObject({ status: 0 });
      expect(await differencesOf(box.directory, fresh.directory, ['work', 'vault'])).toEqual([]);
      expect(backUp(box).stderr).not.toContain('lost');
    },
    120_000,
  );

  it('continue the series of the disk that is attached, if two disks take turns', async () => {
    const box = await Box.full(undefined, 'dom0');
    const away = join(box.directory, 'homes/usb/away');
    const swap = (): void => {
      renameSync(box.backups, `${away}-now`);
      if (existsSync(away)) renameSync(away, box.backups);
      else mkdirSync(box.backups);
      renameSync(`${away}-now`, away);
    };
    box.goOn();
    swap();
    // In the same second, its file would have the same name and size.
    const clock = new URL('fixed-clock.cjs', import.meta.url).pathname;
    const words = ['backup', ...box.secret, '-y', 'backups'];
    const environment = { NODE_OPTIONS: withPreloaded(clock), FIXED_CLOCK: '2026-01-02T03:04:05Z' };
    const other = box.loud(words, '', environment);
    expect(other.status).toBe(0);
    expect(other.stderr).not.toContain('lost');
    expect(other.stdout).not.toContain('It continues from');
    for (const disk of ['the first', 'the second']) {
      swap();
      expect(backUp(box).stdout, disk).toMatch(/^0 of 3 VMs changed; 0 B new, /m);
    }
  });

  it('of two series are verified one series at a time, with a warning', async () => {
    const box = await Box.full(undefined, 'dom0');
    box.goOn();
    const all = (): Run => box.loud(['verify', '--all', ...box.secret, box.backups]);
    expect(all().stderr).not.toContain('other series');
    box.goOn(['--new-series']);
    const verified = all();
    expect(verified).toMatchObject({ status: 0 });
    expect(verified.stdout).toContain('1 of 1 file of the series');
    expect(verified.stderr.replaceAll('\n', ' ')).toContain(
      '1 file of other series in the directory: not checked',
    );
  });

  it('continue the series in the directory if dom0 has lost its records', async () => {
    const box = await Box.full(undefined, 'dom0');
    const first = box.goOn();
    rmSync(join(box.directory, 'dom0-state'), { recursive: true });
    const again = box.goOn();
    const fresh = await Box.empty();
    box.copyTo(fresh, again);
    expect(restore(fresh, again, 'work')).toMatchObject({ status: 3 });
    box.copyTo(fresh, first);
    expect(restore(fresh, again, 'work')).toMatchObject({ status: 0 });
  });

  it.each([
    [['--dedup', 'all'], 'was begun without --dedup all'],
    [['--no-encrypt'], 'is encrypted'],
    [['-Z', 'gzip'], 'is compressed with zstd'],
    [['--kdf-cost', '15'], 'has --kdf-cost 14'],
  ])('are refused with %j, as their series was begun without it', async (words, why) => {
    const box = await Box.full(undefined, 'dom0');
    box.goOn();
    const run = backUp(box, ...words);
    expect(run.status).toBe(2);
    expect(run.stderr).toContain(why);
    expect(run.stderr).toContain('--new-series');
    // Before the plan, the question and the passphrase.
    expect(run.stdout).toBe('');
    expect(readdirSync(box.backups)).toHaveLength(1);
  });

  it.each([
    [['--command', '--full'], '--full needs a directory'],
    [['--command', '--dedup', 'all'], '--dedup needs a directory'],
    [['--format', 'qubes-4', '--new-series'], '--format qubes-4'],
  ])('are what --full, --dedup and --new-series are for: %j is refused', async (words, why) => {
    const box = await Box.full(undefined, 'dom0');
    const run = backUp(box, ...words);
    expect(run.status).toBe(2);
    expect(run.stderr).toContain(why);
  });
});
