import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { openFolderSystem } from '../../dom0-agent/qubes/folder/folder-system.ts';
import { eventually } from '../eventually.ts';
import { Box, type Through } from './box.ts';
import { lastEvent } from './events.ts';

/** Each part goes to a file of its own, so that a small backup has many. */
const SMALL = { COFFER_DATA_FILE: '1' };
const MiB = 2 ** 20;
/** Bytes of data in the volume that is backed up. */
const DATA = 28 * MiB;
const never = new AbortController().signal;

async function boxWithData(through: Through = 'dom0'): Promise<Box> {
  const box = await Box.empty(undefined, through);
  const system = await openFolderSystem(box.directory);
  const ordinary = { qubeClass: 'AppVM', template: 'debian', pool: undefined } as const;
  await system.create({ ...ordinary, name: 'work', label: 'blue' });
  async function* noise(): AsyncGenerator<{ offset: number; bytes: Buffer }> {
    for (let offset = 0; offset < DATA; offset += MiB) {
      yield await Promise.resolve({ offset, bytes: randomBytes(MiB) });
    }
  }
  await system.importVolume('work', 'private', 40 * MiB, noise(), never);
  return box;
}

const BACKUP = ['backup', '-y', '-Z', 'none'] as const;

/** Begins a backup, calls `end` once there are `files` data files, and gives how the backup ended. */
async function broken(
  box: Box,
  end: (pid: number) => void,
  { files = 2 }: { files?: number } = {},
): Promise<{ status: unknown; stderr: string }> {
  const coffer = box.start([...BACKUP, ...box.where, ...box.secret, 'backups', 'work'], SMALL);
  const said = text(coffer.stderr);
  const ended = once(coffer, 'close');
  await eventually(() => dataIn(box).length >= files, 'some data is stored');
  end(coffer.pid ?? 0);
  const [status] = (await ended) as unknown[];
  return { status, stderr: (await said).replace(/\s+/g, ' ') };
}

function dataIn(box: Box): string[] {
  return readdirSync(box.backups).filter((name) => /^qubes-data-[\dT-]+$/.test(name));
}

function bytesOf(box: Box, names: readonly string[]): number {
  return names.reduce((sum, name) => sum + statSync(join(box.backups, name)).size, 0);
}

/** Makes the next backup; returns its result, and how many bytes it has stored. */
function next(
  box: Box,
  words: readonly string[] = [],
): Record<string, unknown> & { sent: number; stderr: string } {
  const before = new Set(readdirSync(box.backups));
  const all = [...BACKUP, ...box.where, ...box.secret, ...words, '--json', 'backups', 'work'];
  const run = box.loud(all);
  expect(run.status, run.stderr).toBe(0);
  const added = readdirSync(box.backups).filter((name) => !before.has(name));
  return { ...lastEvent(run.stdout), sent: bytesOf(box, added), stderr: run.stderr };
}

/** Checks that all files of the series are intact, and that the newest backup restores the present volume. */
function expectWhole(box: Box): void {
  const where = [...box.where, ...box.secret];
  const verify = box.coffer(['verify', ...where, '--all', 'backups']);
  expect(verify.status, verify.stderr).toBe(0);
  const restore = box.coffer([
    'restore',
    ...where,
    '-y',
    '--rename-conflicting',
    'backups',
    'work',
  ]);
  expect(restore.status, restore.stderr).toBe(0);
  const [one, other] = ['work', 'work-1'].map((name) =>
    join(box.directory, 'appvms', name, 'private.img'),
  );
  expect(spawnSync('cmp', [one ?? '', other ?? '']).status).toBe(0);
}

/** Checks that list counts the data files to their backup, and shows no rows for them. */
function expectOneBackupListed(box: Box): void {
  const list = ['list', ...box.where, ...box.secret, 'backups'];
  const { backups } = lastEvent(box.loud([...list, '--json']).stdout) as {
    backups?: { name: string; kind: string; storedBytes: number }[];
  };
  const own = backups?.filter(({ kind }) => kind === 'backup');
  expect(own?.map(({ storedBytes }) => storedBytes)).toEqual([
    bytesOf(box, readdirSync(box.backups)),
  ]);
  expect(box.loud(list).stdout).not.toContain('qubes-data-');
}

/** The storage VM's agents that have a file open whose name matches `pattern`. */
function agentsStoring(pid: number, pattern: RegExp): number[] {
  const children = spawnSync('pgrep', ['-P', `${pid}`, '-f', 'coffer-vm-agent'], {
    encoding: 'utf8',
  });
  return children.stdout
    .split('\n')
    .filter(Boolean)
    .map(Number)
    .filter((agent) => {
      const open = spawnSync('ls', ['-l', `/proc/${agent}/fd`], { encoding: 'utf8' });
      return pattern.test(open.stdout);
    });
}

const kill = (signal: NodeJS.Signals) => (pid: number) => void process.kill(pid, signal);

describe('a backup that is interrupted', () => {
  it.each(['SIGINT', 'SIGTERM'] as const)(
    'by %s says how much of it is kept, and the next one stores only the rest',
    async (signal) => {
      const box = await boxWithData('usb');
      const { status, stderr } = await broken(box, kill(signal));
      expect(status).toBe(130);
      const left = readdirSync(box.backups);
      expect(left).toEqual(dataIn(box));
      const size = /([\d.]+) MiB of what was sent is kept; the next backup continues from there/;
      const said = Number(size.exec(stderr)?.[1]) * MiB;
      expect(said / bytesOf(box, left)).toBeCloseTo(1, 1);
      expect(box.loud(['status']).stdout).toMatch(
        /^No backup in usb:\S+, only data that an interrupted one had sent\.$/m,
      );
      expect(box.loud(['list', ...box.where, ...box.secret, 'backups']).stdout).toMatch(
        /^0 backups in .* with data that an interrupted backup had sent, /m,
      );
      const { sent, knownBytes, newBytes } = next(box);
      // Only the part in the backup's own file is sent twice.
      expect(sent).toBeLessThan(DATA - bytesOf(box, left) + MiB);
      expect(Number(knownBytes) + Number(newBytes)).toBe(DATA);
      expect(newBytes).toBeLessThan(DATA);
      expectWhole(box);
    },
    120_000,
  );

  it('by SIGKILL leaves what was stored by then, and the next one stores only the rest', async () => {
    const box = await boxWithData();
    await broken(box, kill('SIGKILL'));
    await eventually(
      () => readdirSync(box.backups).every((name) => !name.endsWith('.partial')),
      'gone',
    );
    const left = dataIn(box);
    expect(left.length).toBeGreaterThanOrEqual(2);
    const { sent, stderr } = next(box);
    expect(sent).toBeLessThan(DATA - bytesOf(box, left) + MiB);
    // It has left a lock, which nobody holds.
    expect(stderr).not.toContain('waiting');
    expectWhole(box);
  }, 120_000);

  it.each([
    ['that stores data', /qubes-data-.*partial/],
    ['that stores the backup itself', /qubes-backup-.*partial/],
  ])(
    'because the VM’s agent %s is killed leaves what was stored before',
    async (_, file) => {
      const box = await boxWithData('usb');
      const { status, stderr } = await broken(box, (pid) => {
        // There is a new agent for each file of data.
        let agents = agentsStoring(pid, file);
        for (let tries = 0; agents.length === 0 && tries < 100; tries++)
          agents = agentsStoring(pid, file);
        agents.forEach((agent) => kill('SIGKILL')(agent));
      });
      expect(status, stderr).toBe(4);
      expect(stderr).toMatch(/of what was sent is kept, and the next backup continues from there/);
      const left = bytesOf(box, dataIn(box));
      expect(next(box).sent).toBeLessThan(DATA - left + MiB);
      expectWhole(box);
    },
    120_000,
  );

  it('several times continues each time', async () => {
    const box = await boxWithData();
    for (const files of [2, 4]) await broken(box, kill('SIGINT'), { files });
    const left = dataIn(box);
    expect(next(box).sent).toBeLessThan(DATA - bytesOf(box, left) + MiB);
    expectWhole(box);
    expectOneBackupListed(box);
    // The new backup needs all of it.
    const where = [...box.where, ...box.secret];
    const prune = box.coffer(['prune', ...where, '-y', '--keep-last', '1', 'backups']);
    expect(prune.status, prune.stderr).toBe(0);
    expect(dataIn(box)).toEqual(expect.arrayContaining(left));
  }, 240_000);

  it('leaves data that prune keeps until the next backup, and then deletes if that does not need it', async () => {
    const box = await boxWithData();
    next(box, ['--full']);
    const system = await openFolderSystem(box.directory);
    async function* anew(): AsyncGenerator<{ offset: number; bytes: Buffer }> {
      yield await Promise.resolve({ offset: 0, bytes: randomBytes(DATA) });
    }
    await system.importVolume('work', 'private', 40 * MiB, anew(), never);
    await broken(box, kill('SIGINT'));
    const left = dataIn(box);
    const where = [...box.where, ...box.secret];
    const prune = (): void => {
      const run = box.coffer(['prune', ...where, '-y', '--keep-last', '1', 'backups']);
      expect(run.status, run.stderr).toBe(0);
    };
    prune();
    expect(dataIn(box)).toEqual(left);
    await system.importVolume('work', 'private', 40 * MiB, anew(), never);
    next(box);
    prune();
    expect(dataIn(box).filter((name) => left.includes(name))).toEqual([]);
    expectWhole(box);
  }, 240_000);

  it('is continued after dom0’s state was lost, once the directory is adopted', async () => {
    const box = await boxWithData();
    await broken(box, kill('SIGINT'));
    rmSync(join(box.directory, 'dom0-state'), { recursive: true });
    const adopt = box.loud(['adopt', ...box.where, ...box.secret, 'backups']);
    expect(adopt.status, adopt.stderr).toBe(0);
    const left = bytesOf(box, dataIn(box));
    expect(next(box).sent).toBeLessThan(DATA - left + MiB);
    expectWhole(box);
  }, 120_000);

  it.each(['is lost', 'is replaced by another', 'is changed'])(
    'and of which a file %s is completed by the next one',
    async (what) => {
      const box = await boxWithData();
      await broken(box, kill('SIGINT'));
      const [one = '', other = ''] = dataIn(box).map((name) => join(box.backups, name));
      if (what === 'is lost') rmSync(one);
      if (what === 'is replaced by another') {
        writeFileSync(other, readFileSync(one));
      }
      if (what === 'is changed') {
        const bytes = readFileSync(one);
        bytes[2 * MiB] = (bytes[2 * MiB] ?? 0) ^ 1;
        writeFileSync(one, bytes);
      }
      const { warnings } = next(box);
      expect(String(warnings)).toMatch(/the storage has lost files of this series/);
      const where = [...box.where, ...box.secret];
      const verify = box.coffer(['verify', ...where, 'backups']);
      expect(verify.status, verify.stderr).toBe(0);
    },
    120_000,
  );

  it('with --full is discarded, and says so', async () => {
    const box = await boxWithData();
    const partial = (): boolean => readdirSync(box.backups).length > 0;
    const words = [...BACKUP, ...box.where, ...box.secret, '--full', 'backups', 'work'];
    const coffer = box.start(words, SMALL);
    const said = text(coffer.stderr);
    const ended = once(coffer, 'close');
    await eventually(partial, 'the backup has begun');
    coffer.kill('SIGINT');
    await ended;
    expect(await said).toMatch(/the unfinished backup is discarded/);
    expect(readdirSync(box.backups)).toEqual([]);
  }, 60_000);
});
