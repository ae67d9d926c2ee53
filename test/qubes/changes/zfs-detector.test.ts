import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';

import { openDetector } from '../../../dom0-agent/qubes/changes/open-detector.ts';
import { trackChanges } from '../../../dom0-agent/qubes/changes/track-changes.ts';
import type { Changes } from '../../../dom0-agent/qubes/changes/volume-changes.ts';
import { openPool } from '../../../dom0-agent/qubes/pools/open-pool.ts';
import type { Qube, Volume } from '../../../dom0-agent/qubes/qube.ts';
import { lineRunnerBehind } from '../../../shared/run-program.ts';
import { BLOCK, SIZE, VID, ZfsPoolDouble } from './zfs-pool-double.ts';
import { openAtOnce } from '../open-at-once.ts';

const never = new AbortController().signal;
const qube = { name: 'work' } as Qube;
const settings = new Map([
  ['driver', 'zfs'],
  ['container', 'tank/qubes'],
]);

let directory: string;
let pool: ZfsPoolDouble;
let isRunning: boolean;
let revisionsToKeep: number;
let backups: number;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'coffer-zfs-'));
  onTestFinished(() => rm(directory, { recursive: true }));
  pool = new ZfsPoolDouble(directory);
  [isRunning, revisionsToKeep, backups] = [false, 1, 0];
  pool.write(0, 1, 2, 3);
  pool.markClean();
});

/** Makes a backup; returns the changes since the last one, and the extents of data. */
async function backUp(isStored = true): Promise<{ changes: Changes; extents: unknown }> {
  const surroundings = {
    ...{ runAsRoot: pool.run, linesAsRoot: lineRunnerBehind(['true']), bytesAsRoot: pool.bytes },
    ...{ isRunning: () => Promise.resolve(isRunning), rootPrefix: ['true'], devices: directory },
    ...{ series: 's1', warn: (text: string) => expect.fail(text) },
  };
  const volume = {
    ...{ name: 'private', pool: 'pool', vid: VID, saveOnStop: true, revisionsToKeep },
  } as Volume;
  const since = backups === 0 ? undefined : `b${backups}`;
  let extents: unknown;
  await using tracking = await trackChanges(
    {
      detectorOf: (_, notes) => {
        const options = { ...surroundings, notes };
        return openDetector(openPool('pool', settings, options), settings, options);
      },
      imageOf: (_opened, _placed, known) => {
        extents = known;
        return Promise.resolve({
          ...{ size: SIZE, extents: known ?? [], read: () => Promise.resolve() },
          requireUnchanged: () => Promise.resolve(),
          [Symbol.asyncDispose]: () => Promise.resolve(),
        });
      },
    },
    {
      ...{ directory: join(directory, 'notes'), series: 's1', backup: `b${backups + 1}` },
      warn: surroundings.warn,
    },
  );
  const opened = await openAtOnce(tracking.hold({ qube, volume, key: 'work', since }, never));
  opened.keep();
  await opened[Symbol.asyncDispose]();
  if (isStored) {
    await tracking.commit();
    backups++;
  }
  return { changes: opened.changes, extents };
}

/** Does what the pool does when a VM is started, writes and stops. */
function restartWith(...blocks: number[]): void {
  pool.write(...blocks);
  pool.markClean();
}

const block = (number: number) => ({ offset: number * BLOCK, length: BLOCK });
const ranges = (...numbers: number[]) => ({ kind: 'ranges', ranges: numbers.map(block) });
const bookmarks = () => pool.bookmarks.map(({ name }) => name);

describe('the detector for ZFS pools', () => {
  it('reports the blocks that were written since the bookmark of the last backup', async () => {
    expect((await backUp()).changes.kind).toBe('everything');
    restartWith(1, 7);
    expect(await backUp()).toEqual({
      changes: ranges(1, 7),
      extents: [{ offset: 0, length: SIZE }],
    });
    restartWith(9);
    expect((await backUp()).changes).toEqual(ranges(9));
  });

  it('keeps one bookmark of each volume, and no snapshot', async () => {
    for (let time = 0; time < 3; time++) {
      restartWith(time);
      await backUp();
    }
    expect(bookmarks()).toEqual(['coffer:s1:b3']);
    expect(pool.snapshots).toEqual([expect.stringMatching(/@qubes-clean-/)]);
  });

  it('does not open a volume whose VM was not started since the last backup, or has not stopped yet', async () => {
    await backUp();
    pool.ran.length = 0;
    expect((await backUp()).changes).toEqual({ kind: 'nothing' });
    isRunning = true;
    pool.write(5);
    expect((await backUp()).changes).toEqual({ kind: 'nothing' });
    expect(pool.ran.filter((line) => /zfs (snapshot|clone|send|bookmark)/.test(line))).toEqual([]);
    expect(bookmarks()).toEqual(['coffer:s1:b1']);
  });

  it('notices what dom0 wrote to the volume of a halted VM', async () => {
    await backUp();
    pool.write(5);
    expect((await backUp()).changes).toEqual(ranges(5));
  });

  it('syncs the pool before it asks what was written', async () => {
    await backUp();
    await backUp();
    const [sync, list] = ['zpool sync tank', 'zfs list -H -p -o type'].map((start) =>
      pool.ran.findLastIndex((line) => line.startsWith(start)),
    );
    expect(sync).toBeLessThan(list ?? 0);
  });

  it('opens a volume without a saved state even if nothing was written', async () => {
    revisionsToKeep = -1;
    await backUp();
    expect((await backUp()).changes).toEqual(ranges());
    pool.write(4);
    expect((await backUp()).changes).toEqual(ranges(4));
  });

  it.each<[string, string, () => void]>([
    ['its bookmark is missing', 'not there any more', () => (pool.bookmarks = [])],
    [
      'its bookmark belongs to another snapshot',
      'another one',
      () => (pool.bookmarks = pool.bookmarks.map((one) => ({ ...one, guid: '7' }))),
    ],
    [
      'its bookmark has another time',
      'another one',
      () => (pool.bookmarks = pool.bookmarks.map((one) => ({ ...one, txg: one.txg - 1 }))),
    ],
    ['the pool is another one', 'another volume', () => (pool.poolGuid = '7')],
    ['the volume is another one', 'another volume', () => (pool.volumeGuid = '7')],
    ['ZFS gives no stream', 'out of memory', () => pool.failing.set('zfs send', 'out of memory')],
    [
      'ZFS gives a stream in an unknown form',
      'does not know',
      () => (pool.spoil = (stream) => stream.fill(0xff, 16, 24)),
    ],
    [
      'the stream ends early',
      'cut short',
      () => (pool.spoil = (stream) => stream.subarray(0, stream.length - 400)),
    ],
    ['zpool fails', 'no such pool', () => pool.failing.set('zpool', 'no such pool')],
    [
      'no bookmark can be created',
      'permission',
      () => pool.failing.set('zfs bookmark', 'permission'),
    ],
  ])('reports everything if %s', async (_, why, change) => {
    await backUp();
    restartWith(5);
    change();
    const { changes, extents } = await backUp();
    expect(changes).toMatchObject({
      kind: 'everything',
      why: expect.stringContaining(why) as string,
    });
    expect(extents).toBeUndefined();
  });

  it('reports everything for a running VM if dom0 wrote to its volume before the last backup', async () => {
    pool.write(5);
    await backUp();
    isRunning = true;
    const why = 'its content is older than at the last backup';
    expect((await backUp()).changes).toEqual({ kind: 'everything', why });
  });

  it('removes the bookmarks of killed backups of its series, and no others', async () => {
    pool.bookmarks = ['coffer:s1:killed', 'coffer:s2:b1', 'coffer:s11:b1', 'mine'].map((name) => {
      return { name, guid: '7', txg: 3 };
    });
    await backUp();
    expect(bookmarks()).toEqual(['coffer:s2:b1', 'coffer:s11:b1', 'mine', 'coffer:s1:b1']);
  });

  it('leaves no bookmark of a backup that was not stored, and continues from the last one that was', async () => {
    await backUp();
    restartWith(5);
    await backUp(false);
    expect(bookmarks()).toEqual(['coffer:s1:b1']);
    expect((await backUp()).changes).toEqual(ranges(5));
  });
});
