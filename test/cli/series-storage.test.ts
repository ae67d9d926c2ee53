import { randomBytes } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { withPreloaded } from '../test-run.ts';
import { openFolderSystem } from '../../dom0-agent/qubes/folder/folder-system.ts';
import { Box, type Run } from './box.ts';
import { lastEvent } from './events.ts';

const SIZE = 8_000_000;
const never = new AbortController().signal;
const CLOCK = new URL('fixed-clock.cjs', import.meta.url).pathname;

/** Changes some of the private volume of a VM. */
async function change(box: Box, name: string, offset: number): Promise<void> {
  const system = await openFolderSystem(box.directory);
  async function* pieces(): AsyncGenerator<{ offset: number; bytes: Buffer }> {
    yield await Promise.resolve({ offset, bytes: randomBytes(300_000) });
  }
  await system.importVolume(name, 'private', SIZE, pieces(), never);
}

function backUp(box: Box, words: readonly string[] = [], environment = {}): Run {
  const all = ['backup', '-d', 'usb', ...box.secret, '-y', '--no-check', ...words, 'backups'];
  const run = box.loud(all, '', environment);
  expect(run.status, run.stderr).toBe(0);
  // Joins wrapped lines.
  return { ...run, stderr: run.stderr.replace(/\s+/g, ' ') };
}

/** Verifies each backup, and so reads every part. */
function expectAllWhole(box: Box): void {
  for (const name of readdirSync(box.backups)) {
    const run = box.coffer(['verify', '-d', 'usb', ...box.secret, join('backups', name)]);
    expect(run, name).toMatchObject({ status: 0 });
  }
}

function sequences(box: Box): unknown[] {
  const { stdout } = box.loud(['list', '--json', '-d', 'usb', ...box.secret, 'backups']);
  return (lastEvent(stdout)['backups'] as { sequence: number }[])
    .map(({ sequence }) => sequence)
    .sort();
}

/** Checks that no two files have the same id: the keys of a member come from its name and the id, so no key is used twice. */
function expectNoKeyTwice(box: Box): void {
  const ids = readdirSync(box.backups).map(
    (name) => /^backup-id=(\w{32})$/m.exec(readFileSync(join(box.backups, name), 'latin1'))?.[1],
  );
  expect(ids).not.toContain(undefined);
  expect(new Set(ids).size).toBe(ids.length);
}

function states(box: Box): string {
  return join(box.directory, 'dom0-state/series');
}

/** Saves what dom0 knows; gives a function that brings it back to that. */
function memoryOf(box: Box): () => void {
  const copy = join(box.directory, `memory-${randomBytes(4).toString('hex')}`);
  cpSync(states(box), copy, { recursive: true });
  return () => {
    rmSync(states(box), { recursive: true });
    cpSync(copy, states(box), { recursive: true });
  };
}

describe('coffer, before a backup continues a series,', () => {
  it('notices that a file has changed but not its size, and stores its data again', async () => {
    const box = await Box.full();
    const first = box.fileOf(box.goOn());
    await change(box, 'work', 3_000_000);
    const second = box.goOn();
    const bytes = readFileSync(first);
    // A change in every part, as a backup only checks eight parts.
    for (let at = 100_000; at < bytes.length; at += 50_000) bytes[at] = (bytes[at] ?? 0) ^ 1;
    writeFileSync(first, bytes);
    const run = backUp(box);
    expect(run.stderr).toContain('lost files of this series');
    expect(run.stderr).toContain(basename(first));
    expect(run.stderr).not.toContain(basename(second));
    const last = join('backups', readdirSync(box.backups).sort().at(-1) ?? '');
    expect(box.coffer(['verify', '-d', 'usb', ...box.secret, last])).toMatchObject({ status: 0 });
    expect(backUp(box).stderr).not.toContain('lost');
  });

  it('tells two disks apart whose files have the same names and sizes', async () => {
    const box = await Box.full();
    const away = join(box.directory, 'homes/usb/away');
    const swap = (): void => {
      renameSync(box.backups, `${away}-now`);
      if (existsSync(away)) renameSync(away, box.backups);
      else mkdirSync(box.backups);
      renameSync(`${away}-now`, away);
    };
    // After this backup, the VMs have a backup_timestamp, so their settings have the same length in all later ones.
    backUp(box);
    for (const name of readdirSync(box.backups)) rmSync(join(box.backups, name));
    rmSync(states(box), { recursive: true });
    // Not compressed, so that the same data, encrypted again, has the same size.
    const stopped = {
      NODE_OPTIONS: withPreloaded(CLOCK),
      FIXED_CLOCK: '2026-01-02T03:04:05Z',
    };
    backUp(box, ['-Z', 'none'], stopped);
    swap();
    backUp(box, ['-Z', 'none'], stopped);
    const [one, other] = [box.backups, away].map((directory) =>
      readdirSync(directory).map((name) => `${name} ${readFileSync(join(directory, name)).length}`),
    );
    expect(one).toEqual(other);
    for (const disk of ['the first', 'the second']) {
      swap();
      const run = backUp(box);
      expect(run.stderr, disk).not.toContain('lost');
      expect(run.stdout, disk).toMatch(/^0 of 3 VMs changed; 0 B new, /m);
      expectAllWhole(box);
    }
    // dom0 forgets the series on the disk that is there now, so it does not know its files.
    const [name = ''] = readdirSync(box.backups);
    const id = /^series-id=(\w+)$/m.exec(readFileSync(join(box.backups, name), 'latin1'))?.[1];
    for (const each of readdirSync(box.backups).sort().slice(1)) rmSync(join(box.backups, each));
    for (const each of readdirSync(away).sort().slice(1)) rmSync(join(away, each));
    rmSync(join(states(box), id ?? ''), { recursive: true });
    expect(backUp(box).stderr).toContain('lost files of this series');
    const last = join('backups', readdirSync(box.backups).sort().at(-1) ?? '');
    expect(box.coffer(['verify', '-d', 'usb', ...box.secret, last])).toMatchObject({ status: 0 });
  }, 120_000);

  it('adopts files that another machine has stored or dom0 has forgotten', async () => {
    const box = await Box.full();
    box.goOn();
    const forgetTheRest = memoryOf(box);
    await change(box, 'work', 3_000_000);
    const second = box.goOn();
    forgetTheRest();
    const run = backUp(box);
    expect(run.stderr).toContain(`dom0 did not know of ${basename(second)}`);
    expect(run.stdout).toMatch(/^0 of 3 VMs changed; 0 B new, /m);
    expect(sequences(box)).toEqual([1, 2, 3]);
    expectNoKeyTwice(box);
    expectAllWhole(box);
  });

  it('does not refer to files that a signed list will delete, even if dom0 has forgotten the list', async () => {
    const box = await Box.full();
    const first = box.goOn();
    const forgetTheRest = memoryOf(box);
    await change(box, 'work', 3_000_000);
    box.goOn(['--full']);
    const prune = box.coffer([
      ...['prune', '-d', 'usb', ...box.secret, '-y', '--keep-last', '1', '--list', 'backups'],
    ]);
    expect(prune.status, prune.stderr).toBe(0);
    forgetTheRest();
    backUp(box);
    rmSync(box.fileOf(first));
    const run = backUp(box);
    expect(run.stderr).not.toContain('lost');
    expect(run.stdout).toMatch(/^0 of 3 VMs changed; 0 B new, /m);
    for (const name of readdirSync(box.backups).filter((each) => each.startsWith('qubes-'))) {
      const verify = box.coffer(['verify', '-d', 'usb', ...box.secret, join('backups', name)]);
      expect(verify, name).toMatchObject({ status: 0 });
    }
  });

  it('notices that two machines continued the series at the same time, whose backups are both intact', async () => {
    const box = await Box.full();
    box.goOn();
    const forgetTheRest = memoryOf(box);
    await change(box, 'work', 3_000_000);
    const one = box.fileOf(box.goOn());
    renameSync(one, join(box.directory, 'withheld'));
    forgetTheRest();
    await change(box, 'vault', 3_000_000);
    // A backup in the same second would have the same name.
    const clock = { NODE_OPTIONS: withPreloaded(CLOCK), FIXED_CLOCK: '2027-01-02T03:04:05Z' };
    backUp(box, [], clock);
    renameSync(join(box.directory, 'withheld'), one);
    expect(sequences(box)).toEqual([1, 2, 2]);
    const run = backUp(box);
    expect(run.stderr).toMatch(/both have number 2 in their series/);
    expect(sequences(box)).toEqual([1, 2, 2, 3]);
    expectNoKeyTwice(box);
    expectAllWhole(box);
    expect(backUp(box).stderr).not.toMatch(/number/);
  });

  it('says that the newest backup is missing, as it is when the storage was rolled back', async () => {
    const box = await Box.full();
    box.goOn();
    const second = box.goOn();
    rmSync(box.fileOf(second));
    const list = box.loud(['list', '-d', 'usb', ...box.secret, 'backups']);
    expect(list.status).toBe(0);
    expect(list.stderr.replace(/\s+/g, ' ')).toMatch(
      /knows of a newer backup .* number 2, .* back to an older state/,
    );
    const { stderr } = backUp(box);
    expect(stderr).toMatch(/the newest, number 2 of .*may have been rolled back to an older state/);
    expect(backUp(box).stderr).not.toContain('lost');
  });

  it('knows the newer of two backups of the same second, whatever they are called', async () => {
    const box = await Box.full();
    const clock = { NODE_OPTIONS: withPreloaded(CLOCK), FIXED_CLOCK: '2026-01-02T03:04:05Z' };
    backUp(box, [], clock);
    backUp(box, [], clock);
    const [first = '', second = ''] = readdirSync(box.backups).sort();
    expect(second).toBe(`${first}-2`);
    const newest = (): unknown => {
      const list = ['list', '-d', 'usb', ...box.secret, 'backups'];
      const { stdout } = box.loud([...list, '--json']);
      return (lastEvent(stdout)['backups'] as { sequence: number }[])[0]?.sequence;
    };
    expect(newest()).toBe(2);
    renameSync(box.fileOf(`backups/${first}`), join(box.backups, 'z'));
    expect(newest()).toBe(2);
    renameSync(box.fileOf(`backups/${second}`), join(box.backups, 'a'));
    expect(newest()).toBe(2);
  });

  it('lists the VMs that are lost with a file that is missing or cut short, unless a pack replaces it', async () => {
    const box = await Box.full();
    const first = box.goOn();
    await change(box, 'work', 3_000_000);
    const second = box.goOn();
    const lost = (): unknown => {
      const list = ['list', '-d', 'usb', ...box.secret, 'backups'];
      const { stdout } = box.loud([...list, '--json']);
      return (lastEvent(stdout)['backups'] as { name: string; lost: string[] }[])
        .filter(({ name }) => name === basename(second))
        .map((backup) => backup.lost);
    };
    const copy = join(box.directory, 'copy');
    cpSync(box.fileOf(first), copy);
    rmSync(box.fileOf(first));
    expect(lost()).toEqual([['vault']]);
    writeFileSync(box.fileOf(first), readFileSync(copy).subarray(0, -20_000));
    expect(lost()).toEqual([['vault']]);
    cpSync(copy, box.fileOf(first));
    expect(lost()).toEqual([[]]);
    const prune = ['prune', '-y', '-d', 'usb', ...box.secret, '--keep-last', '1', 'backups'];
    expect(box.coffer(prune)).toMatchObject({ status: 0 });
    expect(existsSync(box.fileOf(first))).toBe(false);
    expect(lost()).toEqual([[]]);
  });

  it('finds a file of the series that was renamed', async () => {
    const box = await Box.full();
    const first = box.fileOf(box.goOn());
    box.goOn();
    renameSync(first, join(box.backups, 'qubes-backup-of-monday'));
    const run = backUp(box);
    expect(run.stderr).not.toContain('lost');
    expect(run.stdout).toMatch(/^0 of 3 VMs changed; 0 B new, /m);
    expectAllWhole(box);
  });
});
