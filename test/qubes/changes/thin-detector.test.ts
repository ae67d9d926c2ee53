import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';

import { Notes } from '../../../dom0-agent/qubes/changes/notes.ts';
import { openDetector } from '../../../dom0-agent/qubes/changes/open-detector.ts';
import { trackChanges } from '../../../dom0-agent/qubes/changes/track-changes.ts';
import type { Changes } from '../../../dom0-agent/qubes/changes/volume-changes.ts';
import { newOwnerName } from '../../../dom0-agent/qubes/owner-names.ts';
import { openPool } from '../../../dom0-agent/qubes/pools/open-pool.ts';
import type { Qube, Volume } from '../../../dom0-agent/qubes/qube.ts';
import { byteRunnerBehind } from '../../../shared/run-program.ts';
import { ThinPoolDouble } from './thin-pool-double.ts';
import { openAtOnce } from '../open-at-once.ts';

const UNIT = 65_536;
const SIZE = 64 * UNIT;
const never = new AbortController().signal;
const qube = { name: 'work' } as Qube;
const volume = { name: 'private', pool: 'pool', vid: 'vg/vm-work-private' } as Volume;
const settings = new Map([
  ['driver', 'lvm_thin'],
  ['volume_group', 'vg'],
  ['thin_pool', 'vm-pool'],
]);

let directory: string;
let pool: ThinPoolDouble;
let warnings: string[];
let backups: number;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'coffer-thin-'));
  onTestFinished(() => rm(directory, { recursive: true }));
  pool = new ThinPoolDouble();
  [warnings, backups] = [[], 0];
  for (let block = 0; block < 10; block++) pool.write(block);
});

/**
 * Makes a backup; returns the changes since the last one, and the extents of data.
 *
 * @param pools the names of the pools that have the thin pool
 */
async function backUp(pools = ['pool']): Promise<{ changes: Changes; extents: unknown }> {
  const warn = (text: string): void => void warnings.push(text);
  const surroundings = {
    ...{ runAsRoot: pool.run, linesAsRoot: pool.lines, isRunning: () => Promise.resolve(false) },
    ...{ bytesAsRoot: byteRunnerBehind(['true']), rootPrefix: ['true'], series: 's1', warn },
  };
  let extents: unknown;
  const since = backups === 0 ? undefined : `b${backups}`;
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
    { directory, series: 's1', backup: `b${++backups}`, warn },
  );
  let changes: Changes | undefined;
  for (const name of pools) {
    const key = name === 'pool' ? 'work' : `work.${name}`;
    const tracked = { qube, volume: { ...volume, pool: name }, key, since };
    const opened = await openAtOnce(tracking.hold(tracked, never));
    changes ??= opened.changes;
    opened.keep();
    await opened[Symbol.asyncDispose]();
  }
  await tracking.commit();
  return { changes: changes ?? expect.fail(), extents };
}

/** Does what the pool does when a VM is started, writes and stops: the volume becomes another one. */
function restartWith(...blocks: number[]): void {
  for (const block of blocks) pool.write(block);
  pool.renew();
}

const blocks = (...runs: (readonly [first: number, count: number])[]) =>
  runs.map(([first, count]) => ({ offset: first * UNIT, length: count * UNIT }));

describe('the detector of a thin pool', () => {
  it('reports the blocks that were written since the last backup, and keeps no snapshot', async () => {
    expect((await backUp()).changes.kind).toBe('everything');
    restartWith(3, 20, 21);
    const second = await backUp();
    expect(second.changes).toEqual({ kind: 'ranges', ranges: blocks([3, 1], [20, 2]) });
    expect(second.extents).toEqual(blocks([0, 10], [20, 2]));
    restartWith(4);
    expect((await backUp()).changes).toEqual({ kind: 'ranges', ranges: blocks([4, 1]) });
    expect(pool.volumes.filter((name) => !name.startsWith('coffer-mark-'))).toEqual([
      'vm-work-private',
    ]);
    expect(warnings).toEqual([]);
  });

  it('recognises without a snapshot that a volume was not written to', async () => {
    await backUp();
    pool.ran.length = 0;
    expect((await backUp()).changes).toEqual({ kind: 'nothing' });
    expect(pool.ran.filter((line) => /lvcreate|dmsetup|thin_dump/.test(line))).toEqual([]);
  });

  it('notices that a revision was merged into a volume, which keeps its UUID', async () => {
    pool.keepRevision();
    pool.write(3);
    await backUp();
    pool.mergeRevision();
    expect((await backUp()).changes).toEqual({ kind: 'ranges', ranges: blocks([3, 1]) });
    expect((await backUp()).changes.kind).toBe('nothing');
  });

  it('replaces its mark in the pool at each backup that reads the metadata', async () => {
    const marks = new Set<string>();
    for (let i = 0; i < 3; i++) {
      restartWith(i);
      await backUp();
      const found = pool.volumes.filter((name) => name.startsWith('coffer-mark-'));
      expect(found).toHaveLength(1);
      marks.add(found[0] ?? '');
    }
    expect(marks.size).toBe(3);
  });

  it('leaves its mark in another thin pool of the volume group', async () => {
    pool.createElsewhere('coffer-mark-other', 'coffer-series-s1');
    await backUp();
    expect(pool.volumes).toContain('coffer-mark-other');
  });

  it('keeps one mark if two pools of qubesd have the same thin pool', async () => {
    for (let i = 0; i < 3; i++) {
      restartWith(i);
      await backUp(['pool', 'other']);
      expect(pool.volumes.filter((name) => name.startsWith('coffer-mark-'))).toHaveLength(1);
    }
    restartWith(7);
    const { changes } = await backUp(['pool', 'other']);
    expect(changes).toEqual({ kind: 'ranges', ranges: blocks([7, 1]) });
    expect(warnings).toEqual([]);
  });

  it('keeps only the notes and the last map as files', async () => {
    for (let i = 0; i < 3; i++) {
      restartWith(i);
      await backUp();
    }
    const files = (await readdir(directory)).sort();
    expect(files).toEqual(['thin-pool.VGPOOL.json', 'volume.work.json', 'work.b3.map']);
  });
});

describe('a thin pool that', () => {
  /** What happens to the pool between two backups, and the warning of the second one. */
  const lies: [string, RegExp, (before: ReturnType<ThinPoolDouble['save']>) => void][] = [
    ['was reset to before the last backup', /older/, (before) => pool.setBack(before)],
    [
      'was reset, and used until its counters were beyond those of the last backup',
      /mark/,
      (before) => {
        pool.setBack(before);
        pool.use(20);
      },
    ],
    [
      'has another device with the number of the mark',
      /mark/,
      () => pool.changeDevice(mark(), (device) => ({ ...device, transaction: 99 })),
    ],
    [
      'has a device of another time with that number',
      /mark/,
      () => pool.changeDevice(mark(), (device) => ({ ...device, creationTime: 0 })),
    ],
    [
      'has a volume with content in place of the mark',
      /mark/,
      () => pool.changeDevice(mark(), (device) => ({ ...device, blocks: new Map([[0, [0, 0]]]) })),
    ],
    ['has no mark in its metadata', /mark/, () => pool.changeDevice(mark(), () => undefined)],
    ['lost the mark in LVM only', /mark/, () => pool.forget(mark())],
    ['has blocks of another size', /another size/, () => (pool.blockSize = 256)],
  ];
  const mark = (): string => pool.volumes.find((name) => name.startsWith('coffer-mark-')) ?? '';

  it.each(lies)(
    '%s is detected: everything is read, and at the next backup again only what has changed',
    async (_, why, lie) => {
      const before = pool.save();
      restartWith(1);
      await backUp();
      lie(before);
      restartWith(2);
      expect((await backUp()).changes).toMatchObject({
        kind: 'everything',
        why: /last backup left/,
      });
      expect(warnings).toHaveLength(1);
      expect(warnings[0]).toMatch(why);
      restartWith(5);
      expect((await backUp()).changes).toMatchObject({ kind: 'ranges' });
      expect(warnings).toHaveLength(1);
    },
  );

  it('is another one is detected, even if nothing else differs', async () => {
    restartWith(1);
    await backUp();
    pool.poolUuid = 'OTHER';
    restartWith(2);
    expect((await backUp()).changes).toMatchObject({ kind: 'everything' });
  });

  it('has another map than the noted one is detected', async () => {
    await backUp();
    await writeFile(join(directory, 'work.b1.map'), Buffer.from([0, 1, 0, 0]));
    restartWith(2);
    expect((await backUp()).changes).toMatchObject({ kind: 'everything', why: /damaged/ });
    restartWith(5);
    expect((await backUp()).changes).toEqual({ kind: 'ranges', ranges: blocks([5, 1]) });
  });
});

describe('the metadata snapshot of a thin pool', () => {
  it('is released if thin_dump fails, and everything is read', async () => {
    await backUp();
    restartWith(1);
    pool.failing.set('thin_dump', 'syscall failed: Success');
    expect((await backUp()).changes).toMatchObject({ kind: 'everything', why: /Success/ });
    expect(pool.held).toBeUndefined();
    pool.failing.clear();
    restartWith(2);
    expect((await backUp()).changes).toMatchObject({ kind: 'everything' });
    restartWith(3);
    expect((await backUp()).changes).toEqual({ kind: 'ranges', ranges: blocks([3, 1]) });
  });

  it('of another program is left alone, with advice how to release it', async () => {
    await backUp();
    restartWith(1);
    pool.held = '48';
    const { changes } = await backUp();
    expect(changes).toMatchObject({
      ...{ kind: 'everything' },
      why: /another program holds.*dmsetup message vg-pool-tpool 0 release_metadata_snap/,
    });
    expect(pool.held).toBe('48');
  });

  it.each([
    ['that was killed is released', 'coffer.999999999.5.0123abcd', { root: '48' }, 'ranges'],
    [
      'that was killed before it noted the snapshot is released',
      'coffer.999999999.5.0123abcd',
      {},
      'ranges',
    ],
    [
      'that was killed, which had another snapshot, is left alone',
      'coffer.999999999.5.0123abcd',
      { root: '9' },
      'everything',
    ],
    ['that is running is left alone', undefined, { root: '48' }, 'everything'],
  ])('of a coffer %s', async (_, killed, root, kind) => {
    await backUp();
    restartWith(1);
    pool.held = '48';
    const notes = await Notes.open(directory);
    const owner = killed ?? (await newOwnerName());
    await notes.write('metadata-snapshot.VGPOOL', { owner, ...root });
    expect((await backUp()).changes.kind).toBe(kind);
    expect(pool.held).toBe(kind === 'ranges' ? undefined : '48');
  });
});
