import { link, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { coffer, cofferBackup } from './coffer.ts';
import { storedIn, useForADay } from './days.ts';
import { liveBytesIn } from './live-bytes.ts';
import { measure } from './measure.ts';
import { NewChunks } from './new-chunks.ts';
import { repeatedBackups } from './other-tools.ts';
import type { Job, NamedRow } from './row.ts';
import { BACKUPS, makeSystem } from './systems.ts';
import { CHEAP_KEYS, type World } from './world.ts';

const DAYS = 60;
const KEPT = 15;

/** The cost of a series over many days. */
export const DAYS_ROWS: readonly NamedRow[] = [
  [
    "stored a day of a 0.5 GiB image in use, against the smaller of restic's and borg's",
    async (world) => {
      const image = await world.image('daily');
      const system = await world.system('daily', { daily: 'daily' });
      const stored = join(system, BACKUPS);
      const backup = cofferBackup(world, system, ['daily'], CHEAP_KEYS);
      await measure(backup);
      const others = await repeatedBackups(image, world.place('repeated'));
      const first = await storedIn(stored);
      const firsts = await Promise.all(others.map(({ repository }) => storedIn(repository)));
      let day = 0;
      const nextDay = (): Promise<void> => {
        useForADay(image, `day ${++day}`);
        return Promise.resolve();
      };
      const again = cofferBackup(world, system, ['daily']);
      return {
        jobs: [
          { name: 'coffer', command: again, before: nextDay },
          ...others.map(({ job }) => job),
        ],
        yardstick: {
          kind: 'stored',
          atMost: 0.7,
          share: async () => {
            const now = await Promise.all(others.map(({ repository }) => storedIn(repository)));
            const least = Math.min(...now.map((bytes, i) => bytes - (firsts[i] ?? 0)));
            return ((await storedIn(stored)) - first) / least;
          },
        },
      };
    },
  ],
  [
    'the same, against the new chunks alone, compressed',
    async (world) => {
      const image = await world.image('watched');
      const system = await world.system('watched', { watched: 'watched' });
      const stored = join(system, BACKUPS);
      const chunks = new NewChunks();
      await chunks.bytesOf(image);
      await measure(cofferBackup(world, system, ['watched'], CHEAP_KEYS));
      const first = await storedIn(stored);
      let [day, least] = [0, 0];
      const nextDay = async (): Promise<void> => {
        useForADay(image, `day ${++day}`);
        least += await chunks.bytesOf(image);
      };
      const command = cofferBackup(world, system, ['watched']);
      return {
        jobs: [{ name: 'coffer', command, before: nextDay }],
        yardstick: {
          kind: 'stored',
          atMost: 1.02,
          share: async () => ((await storedIn(stored)) - first) / least,
        },
      };
    },
  ],
  [
    `restore of the last of ${DAYS} days, against that of a full backup of the same day`,
    async (world) => {
      const files = await manyDays(world);
      return {
        jobs: [restoring(world, files, DAYS - 1), restoring(world, files, DAYS)],
        yardstick: { kind: 'ratio', atMost: 1.5 },
      };
    },
  ],
  [
    `stored of ${DAYS} days once ${KEPT} were kept, against what these need`,
    async (world) => {
      const files = await manyDays(world);
      const system = world.place('pruned');
      const words = ['prune', '-y', '--keep-last', `${KEPT}`, 'backups'];
      return {
        jobs: [
          {
            name: 'coffer prune',
            command: coffer(world, system, words),
            before: () => systemWith(system, files.slice(0, DAYS)),
          },
        ],
        yardstick: {
          kind: 'stored',
          atMost: 1.1,
          share: async () => {
            const stored = join(system, BACKUPS);
            return (await storedIn(stored)) / (await liveBytesIn(stored, world.passphraseFile));
          },
        },
      };
    },
  ],
];

/** The paths of a backup for each of many days, oldest first, and of a full one of the last day. They are made once. */
async function manyDays(world: World): Promise<readonly string[]> {
  const system = await world.system('worn', { worn: 'worn' });
  const stored = join(system, BACKUPS);
  const image = await world.image('worn');
  for (let day = (await readdir(stored)).length; day <= DAYS; day++) {
    const isLast = day === DAYS;
    if (!isLast) useForADay(image, `day ${day}`);
    const options = day === 0 ? CHEAP_KEYS : isLast ? ['--full'] : [];
    await measure(cofferBackup(world, system, ['worn'], options));
  }
  return (await readdir(stored)).sort().map((name) => join(stored, name));
}

function restoring(world: World, files: readonly string[], day: number): Job {
  const system = world.place(`fresh-${day}`);
  const name = files[day]?.split('/').at(-1) ?? '';
  return {
    name: day === DAYS ? 'full' : `day ${day + 1}`,
    command: coffer(world, system, ['restore', '-y', `backups/${name}`]),
    before: () => systemWith(system, files),
    after: () => rm(system, { recursive: true }),
  };
}

/** A new, empty system with these files in its storage VM. */
async function systemWith(directory: string, files: readonly string[]): Promise<void> {
  await rm(directory, { recursive: true, force: true });
  await makeSystem(directory);
  for (const file of files) {
    await link(file, join(directory, BACKUPS, file.split('/').at(-1) ?? ''));
  }
}
