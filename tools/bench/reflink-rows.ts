import { join } from 'node:path';
import { memoize } from '../../shared/memoize.ts';
import { cofferBackup } from './coffer.ts';
import { otherJob } from './jobs.ts';
import { measure } from './measure.ts';
import { type RepeatedTool, isInstalled, repeatedBackups } from './other-tools.ts';
import { kdf } from './pipelines.ts';
import {
  type ReflinkFileSystem,
  type ReflinkPool,
  makeReflinkPool,
  startAndStop,
} from './reflink-pool.ts';
import type { Job, NamedRow } from './row.ts';
import type { World } from './world.ts';
import { repeatedWyng } from './wyng.ts';

const QUBES = Array.from({ length: 20 }, (_, i) => `vm${i}`);
const STARTED = QUBES.slice(0, 3);

/** Pools with a first backup. */
const xfsPool = poolWithBackup('xfs');
const btrfsPool = poolWithBackup('btrfs');

/** Other programs with a first backup of the pool on XFS. */
const othersOnXfs = oncePerWorld(async (world): Promise<RepeatedTool[]> => {
  const { mounted, system } = await xfsPool(world);
  return repeatedBackups(join(system, 'appvms'), join(mounted, 'others'));
});

/** Wyng is in no distribution, and takes minutes for its first backup. */
const WYNG_ROW: NamedRow = [
  'the same on Btrfs, against Wyng',
  async (world) => {
    const pool = await btrfsPool(world);
    return {
      jobs: [backupOfADay(world, pool), await repeatedWyng(pool, QUBES)],
      yardstick: { kind: 'ratio', atMost: 1 },
    };
  },
];

/** The cost of a backup in a pool that can tell what has changed. */
export const REFLINK_ROWS: readonly NamedRow[] = [
  [
    'backup of 20 VMs with 20 GB on XFS, of which three have written a hundredth anew, beyond key derivation',
    async (world) => ({
      jobs: [backupOfADay(world, await xfsPool(world)), otherJob('kdf', kdf)],
      yardstick: { kind: 'beyond', atMost: 6 },
    }),
  ],
  [
    'the same, against restic',
    async (world) => ({
      jobs: [
        backupOfADay(world, await xfsPool(world)),
        ...(await othersOnXfs(world)).map(({ job }) => job),
      ],
      yardstick: { kind: 'ratio', atMost: 0.1 },
    }),
  ],
  [
    'the same, against restic where times do not tell it which images have changed',
    async (world) => ({
      jobs: [
        backupOfADay(world, await xfsPool(world)),
        ...(await othersOnXfs(world)).map(({ rereading }) => rereading),
      ],
      yardstick: { kind: 'ratio', atMost: 0.1 },
    }),
  ],
  ...(isInstalled('wyng') ? [WYNG_ROW] : []),
];

function poolWithBackup(fileSystem: ReflinkFileSystem): (world: World) => Promise<ReflinkPool> {
  return oncePerWorld(async (world) => {
    const pool = await makeReflinkPool(world, QUBES, fileSystem);
    await measure(cofferBackup(world, pool.system, QUBES));
    return pool;
  });
}

function oncePerWorld<T>(make: (world: World) => Promise<T>): (world: World) => Promise<T> {
  const made = new WeakMap<World, () => Promise<T>>();
  return (world) => {
    const making = made.get(world) ?? memoize(() => make(world));
    made.set(world, making);
    return making();
  };
}

function backupOfADay(world: World, pool: ReflinkPool): Job {
  let day = 0;
  const before = async (): Promise<void> => {
    day++;
    for (const qube of STARTED) await startAndStop(pool, qube, `day ${day}`);
  };
  return { name: 'coffer', command: cofferBackup(world, pool.system, QUBES), before };
}
