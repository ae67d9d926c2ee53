import { deepEqual, doesNotMatch, ok, rejects } from 'node:assert/strict';
import { open } from 'node:fs/promises';

import { openPool } from '../../../dom0-agent/qubes/pools/open-pool.ts';
import { runnerBehind } from '../../../shared/run-program.ts';
import { sh } from './programs.ts';
import { readOpened, readVolume } from './read-volume.ts';
import { TANK, type ZfsGround, zfsGround } from './zfs-ground.ts';

const MiB = 2 ** 20;
/** The owner name of a process that has ended. */
const GONE = 'coffer.999999999.5.0123abcd';

/** The names of everything in the pool. */
async function names(): Promise<string[]> {
  const listed = await sh(`zfs list -H -o name -t all -r ${TANK}`);
  return listed.split('\n').filter((line) => line !== '');
}

/** Checks of the driver for `zfs` on a real pool. They run one after the other; the VM of `ground` must be halted. */
export function zfsDriverChecks(ground: ZfsGround): Record<string, () => Promise<void>> {
  const driver = openPool('pool', ground.settings, {
    runAsRoot: runnerBehind([]),
    isRunning: () => Promise.resolve(ground.isRunning),
  });
  const { vid } = ground;
  const placed = {
    ...{ label: 'the volume private of work', qubeName: 'work', vid },
    hasNoSavedState: false,
  };
  const committed = () => readOpened(ground.committed, placed);
  const writeByte = async (): Promise<void> => {
    const [first = 0] = await readOpened(ground.writable, placed);
    await using file = await open(ground.writable, 'r+');
    await file.write(Buffer.alloc(4096, first + 1), 0, 4096, 0);
    await file.sync();
  };

  return {
    'a snapshot has the content of the volume, and is removed': async () => {
      const before = await names();
      ok((await readVolume(driver, placed)).equals(await committed()));
      deepEqual(await names(), before);
    },
    'a snapshot stays as it is while the volume is written to': async () => {
      const content = await committed();
      await using opened = await driver.open(placed);
      await writeByte();
      ok((await readOpened(opened.path, placed)).equals(content));
    },
    'of a VM that runs, what it has left last is read, and not what it writes': async () => {
      const content = await committed();
      await ground.start();
      await writeByte();
      ok((await readVolume(driver, placed)).equals(content));
      await ground.stop();
    },
    'a VM that is shut down while it is read leaves nothing but its own': async () => {
      await ground.start();
      const before = await names();
      {
        await using opened = await driver.open(placed);
        await ground.stop();
        await readOpened(opened.path, placed);
      }
      const after = (await names()).filter((name) => !before.includes(name));
      ok(after.length === 1 && after[0]?.startsWith(`${vid}@qubes-clean-`), after.join(' '));
    },
    'a volume that is removed while it is read is read to its end, and nothing is left':
      async () => {
        const before = await names();
        const gone = await zfsGround(4 * MiB, 'gone');
        const elsewhere = { ...placed, vid: gone.vid };
        const content = await readOpened(gone.committed, elsewhere);
        {
          await using opened = await driver.open(elsewhere);
          await gone.remove();
          ok((await readOpened(opened.path, elsewhere)).equals(content));
        }
        const after = (await names()).filter((name) => !before.includes(name));
        doesNotMatch(after.join(' '), /coffer|private/);
      },
    'what a coffer that was killed has left is removed, and nothing else': async () => {
      const owner = `-o coffer:owner=${GONE}`;
      const clone = vid.replace('work/private', GONE);
      const before = await names();
      await sh(`zfs snapshot ${owner} ${vid}@${GONE}`);
      await sh(`zfs clone ${owner} ${vid}@${GONE} ${clone}`);
      await sh(`zfs snapshot ${vid}@another`);
      {
        await using own = await driver.open(placed);
        await driver.removeStale();
        ok((await readOpened(own.path, placed)).equals(await committed()));
      }
      deepEqual((await names()).sort(), [...before, `${vid}@another`].sort());
      await sh(`zfs destroy ${vid}@another`);
    },
    'a volume that is not there is an error of ZFS in its own words, and leaves nothing':
      async () => {
        const before = await names();
        await rejects(driver.open({ ...placed, vid: `${vid}-gone` }), /dataset does not exist/);
        deepEqual(await names(), before);
      },
    'a pool that is full is told in plain words, nothing is left, and with space again it is read':
      async () => {
        const content = await committed();
        const before = await names();
        await sh(`zfs create -s -V 2G -o compression=off ${TANK}/large`);
        await sh(`udevadm wait --timeout=60 /dev/zvol/${TANK}/large`);
        await rejects(
          sh(`dd if=/dev/zero of=/dev/zvol/${TANK}/large bs=1M oflag=direct status=none`),
        );
        await sh(`zpool sync ${TANK}`);
        await rejects(readVolume(driver, placed), /the volume private of work .* its pool is full/);
        deepEqual((await names()).sort(), [...before, `${TANK}/large`].sort());
        await sh(`zfs destroy ${TANK}/large`);
        await sh(`zpool sync ${TANK}`);
        ok((await readVolume(driver, placed)).equals(content));
      },
  };
}
