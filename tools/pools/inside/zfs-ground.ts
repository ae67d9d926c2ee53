import { randomBytes } from 'node:crypto';

import { openDetector } from '../../../dom0-agent/qubes/changes/open-detector.ts';
import {
  describeVolume,
  isClean,
  sameCleanSnapshot,
} from '../../../dom0-agent/qubes/changes/zfs-datasets.ts';
import { openPool } from '../../../dom0-agent/qubes/pools/open-pool.ts';
import { byteRunnerBehind, lineRunnerBehind, runnerBehind } from '../../../shared/run-program.ts';
import type { Ground } from './ground.ts';
import { sh } from './programs.ts';

/** The ZFS pool. */
export const TANK = 'tank';

export interface ZfsGround extends Ground {
  readonly settings: ReadonlyMap<string, string>;
  /** Replaces the volume with a clone of it, as an import does. Only while the VM is halted. */
  replace(): Promise<void>;
  /** Removes the volume, with its VM. */
  remove(): Promise<void>;
}

/**
 * Makes a volume in a ZFS pool, which is started and stopped as by qubesd (ZFSVolume in qubes/storage/zfs.py).
 *
 * @param size in bytes
 * @param name the name of its VM
 * @param dataset the dataset that is a pool for Qubes
 * @param options for `zfs create`
 */
export async function zfsGround(
  size: number,
  name = 'work',
  dataset = 'qubes',
  options: readonly string[] = [],
): Promise<ZfsGround> {
  const container = `${TANK}/${dataset}`;
  const vid = `${container}/${name}/private`;
  const [clone, temporary] = [`${container}/${name}-clone/private`, `${container}/.tmp/${name}`];
  /** A clone of the committed content, to be read while the VM is running. */
  const seen = `${container}/${name}-committed`;
  let isRunning = false;
  let revisions = 0;
  const isHere = () => Promise.resolve(isRunning);
  const settings = new Map([
    ['driver', 'zfs'],
    ['container', container],
  ]);
  const statesOf = async (volume: string) =>
    (await describeVolume(runnerBehind([]), volume)).states.slice(0, -1);
  const appears = (volume: string) => sh(`udevadm wait --timeout=60 /dev/zvol/${volume}`);
  const lastClean = async (): Promise<string> => {
    const found = (await statesOf(vid)).findLast(isClean);
    if (found === undefined) throw new Error('there is no clean snapshot');
    return found.name;
  };
  const markClean = async (volume: string): Promise<void> => {
    const old = (await statesOf(volume)).filter(isClean);
    await sh(`zfs snapshot ${volume}@qubes-clean-${randomBytes(4).toString('hex')}`);
    for (const { name } of old) await sh(`zfs destroy -d -r ${name}`);
  };
  const revisionsOf = async (): Promise<string[]> =>
    (await statesOf(vid)).map((state) => state.name).filter((state) => state.includes('@qubes:'));
  const createRevision = async (cause: string): Promise<void> => {
    await sh(`zfs snapshot ${vid}@qubes:${cause}:${1_700_000_000 + revisions++}.000000`);
    for (const old of (await revisionsOf()).slice(0, -1)) await sh(`zfs destroy -d -r ${old}`);
  };
  /** Removes a volume; if its snapshots have clones, one clone of each is promoted. */
  const remove = async (volume: string): Promise<void> => {
    const removed = await sh(`zfs destroy -r ${volume}`).catch(() => undefined);
    if (removed !== undefined) return;
    for (const { name } of await statesOf(volume)) {
      const [first = '-'] = (await sh(`zfs get -H -o value clones ${name}`)).trim().split(',');
      if (first !== '-' && first !== '') await sh(`zfs promote ${first}`);
    }
    await sh(`zfs destroy -r ${volume}`);
  };
  const cloneTo = async (volume: string): Promise<void> => {
    await sh(`zfs clone -p ${await lastClean()} ${temporary}`);
    if ((await sh(`zfs list -H -o name -r ${container}`)).split('\n').includes(volume)) {
      await remove(volume);
    }
    await sh(`zfs rename -p ${temporary} ${volume}`);
    await appears(volume);
  };

  const replace = async (): Promise<void> => {
    await cloneTo(vid);
    await createRevision('after-import-volume');
    await markClean(vid);
  };

  await sh(`zfs create -p -s -V ${size} ${options.map((one) => `-o ${one}`).join(' ')} ${vid}`);
  await appears(vid);
  await createRevision('after-create');
  await markClean(vid);

  return {
    name: `zfs ${dataset}`,
    blockSize: Number(await sh(`zfs get -H -p -o value volblocksize ${vid}`)),
    vid,
    settings,
    get committed() {
      return `/dev/zvol/${isRunning ? seen : vid}`;
    },
    get isRunning() {
      return isRunning;
    },
    writable: `/dev/zvol/${vid}`,
    detector: (series, notes, warn) => {
      const surroundings = {
        ...{ isRunning: isHere, runAsRoot: runnerBehind([]), linesAsRoot: lineRunnerBehind([]) },
        ...{ bytesAsRoot: byteRunnerBehind([]), rootPrefix: [], series, notes, warn },
      };
      return openDetector(openPool('pool', settings, surroundings), settings, surroundings);
    },
    async start() {
      // What the schedule has written while the VM was halted counts as written by the VM.
      const volume = await describeVolume(runnerBehind([]), vid);
      const now = volume.states.at(-1);
      if (now && sameCleanSnapshot(volume, now) === undefined) await markClean(vid);
      await createRevision('before-start');
      await sh(`zfs clone ${await lastClean()} ${seen}`);
      await appears(seen);
      isRunning = true;
    },
    async stop() {
      isRunning = false;
      await sh(`zfs destroy ${seen}`);
      await markClean(vid);
    },
    async revert() {
      const revision = (await revisionsOf()).at(-1);
      if (revision === undefined) return;
      await sh(`zfs rollback -r ${revision}`);
      await sh(`zfs destroy -d -r ${revision}`);
      await markClean(vid);
    },
    async clone() {
      await cloneTo(clone);
      await markClean(clone);
    },
    discard: async (offset, length) => {
      await sh(`blkdiscard -o ${offset} -l ${length} /dev/zvol/${vid}`);
    },
    async grow(bytes) {
      const now = Number(await sh(`zfs get -H -p -o value volsize ${vid}`));
      await sh(`zfs set volsize=${now + bytes} ${vid}`);
    },
    replace,
    remove: () => remove(vid),
    /** Replaces the volume with a clone, or imports the pool again, as after a boot. */
    async disturb() {
      if (isRunning) return;
      if (revisions % 3 === 0) {
        await replace();
        return;
      }
      await sh(`zpool export ${TANK}`);
      await sh(`zpool import -d /dev -o cachefile=none ${TANK}`);
      await appears(vid);
    },
  };
}
