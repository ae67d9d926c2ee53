import { utimes } from 'node:fs/promises';
import { cofferBackup } from './coffer.ts';
import { measure } from './measure.ts';
import { otherJob } from './jobs.ts';
import { kdf, macOnAllCores } from './pipelines.ts';
import type { Job, NamedRow } from './row.ts';
import type { World } from './world.ts';

/** 20 VMs of 1 GB each. */
const TWENTY = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`vm${i}`, 'big']));

/** The cost of a backup that continues from another. */
export const SERIES_ROWS: readonly NamedRow[] = [
  [
    'backup of 20 VMs with 20 GB, none started since the last one, beyond key derivation',
    async (world) => ({
      jobs: [await nextBackup(world), otherJob('kdf', kdf)],
      yardstick: { kind: 'beyond', atMost: 3 },
    }),
  ],
  [
    'the same, where nothing tells what changed, against HMAC-SHA256 on all cores',
    async (world) => {
      const image = await world.image('big');
      // With other times, the file has to be read to find out that it is the same.
      const before = (): Promise<void> => utimes(image, new Date(), new Date(Date.now() - 60_000));
      return {
        jobs: [
          { ...(await nextBackup(world)), before },
          otherJob('HMAC', macOnAllCores(image, Object.keys(TWENTY).length)),
        ],
        yardstick: { kind: 'ratio', atMost: 1.5 },
      };
    },
  ],
];

/** A job that continues from a backup of twenty VMs, in which nothing changes. */
async function nextBackup(world: World): Promise<Job> {
  const system = await world.system('twenty', TWENTY);
  const command = cofferBackup(world, system, Object.keys(TWENTY));
  await measure(command);
  return { name: 'coffer, twenty', command };
}
