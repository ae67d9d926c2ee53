import { join } from 'node:path';
import { memoize } from '../../shared/memoize.ts';
import { cofferBackup } from './coffer.ts';
import { otherJob } from './jobs.ts';
import { measure } from './measure.ts';
import { repeatedBackups } from './other-tools.ts';
import { kdf } from './pipelines.ts';
import { type ReflinkPool, makeReflinkPool, startAndStop } from './reflink-pool.ts';
import type { Job, NamedRow } from './row.ts';
import type { World } from './world.ts';

const QUBES = Array.from({ length: 20 }, (_, i) => `vm${i}`);
const STARTED = QUBES.slice(0, 3);

/** The cost of a backup in a pool that can tell what has changed. */
export const REFLINK_ROWS: readonly NamedRow[] = [
  [
    'backup of 20 VMs with 20 GB on XFS, of which three have written a hundredth anew, beyond key derivation',
    async (world) => ({
      jobs: [backupOfADay(world, await poolOf(world)), otherJob('kdf', kdf)],
      yardstick: { kind: 'beyond', atMost: 6 },
    }),
  ],
  [
    'the same, against restic',
    async (world) => {
      const pool = await poolOf(world);
      const repositories = join(pool.mounted, 'others');
      const others = await repeatedBackups(join(pool.system, 'appvms'), repositories);
      return {
        jobs: [backupOfADay(world, pool), ...others.map(({ job }) => job)],
        yardstick: { kind: 'ratio', atMost: 0.1 },
      };
    },
  ],
];

const pools = new WeakMap<World, () => Promise<ReflinkPool>>();

/** The pool, with a first backup; it is made once. */
function poolOf(world: World): Promise<ReflinkPool> {
  const made =
    pools.get(world) ??
    memoize(async () => {
      const pool = await makeReflinkPool(world, QUBES);
      await measure(cofferBackup(world, pool.system, QUBES));
      return pool;
    });
  pools.set(world, made);
  return made();
}

function backupOfADay(world: World, pool: ReflinkPool): Job {
  let day = 0;
  const before = async (): Promise<void> => {
    day++;
    for (const qube of STARTED) await startAndStop(pool, qube, `day ${day}`);
  };
  return { name: 'coffer', command: cofferBackup(world, pool.system, QUBES), before };
}
