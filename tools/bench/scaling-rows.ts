import { backupJob, onOneCore } from './jobs.ts';
import type { NamedRow } from './row.ts';
import { CHEAP_KEYS } from './world.ts';

/** Images with the same share of data, each twice as large as the previous one. */
const SIZES = [
  { image: 'files1', size: '1 GiB' },
  { image: 'files', size: '2 GiB' },
  { image: 'files4', size: '4 GiB' },
  { image: 'files8', size: '8 GiB' },
] as const;

/** How the time grows with the data and the number of VMs, and shrinks with the number of cores. */
export const SCALING_ROWS: readonly NamedRow[] = [
  ...SIZES.slice(1).map((twice, i): NamedRow => [
    `backup of an image of ${twice.size} against one of ${SIZES[i]?.size ?? ''}`,
    async (world) => ({
      jobs: [
        await backupJob(world, twice.image, { files: twice.image }, CHEAP_KEYS),
        await backupJob(world, SIZES[i]?.image ?? '', { files: SIZES[i]?.image ?? '' }, CHEAP_KEYS),
      ],
      yardstick: { kind: 'ratio', atMost: 2.2 },
    }),
  ]),
  [
    'backup on 2 cores against 1',
    async (world) => {
      const job = await backupJob(world, 'files', { files: 'files' }, CHEAP_KEYS);
      return { jobs: [job, onOneCore(job)], yardstick: { kind: 'ratio', atMost: 0.8 } };
    },
  ],
  [
    'backup of 100 VMs of 10 MB against one of 1 GB',
    async (world) => {
      const names = Array.from({ length: 100 }, (_, i) => `vm${i}`);
      const hundred = Object.fromEntries(names.map((name) => [name, 'tiny']));
      return {
        jobs: [
          await backupJob(world, 'hundred', hundred, CHEAP_KEYS),
          await backupJob(world, 'one', { big: 'big' }, CHEAP_KEYS),
        ],
        yardstick: { kind: 'ratio', atMost: 2 },
      };
    },
  ],
];
