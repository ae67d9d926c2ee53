import { openDetector } from '../../../dom0-agent/qubes/changes/open-detector.ts';
import { openPool } from '../../../dom0-agent/qubes/pools/open-pool.ts';
import { byteRunnerBehind, lineRunnerBehind, runnerBehind } from '../../../shared/run-program.ts';
import type { Ground } from './ground.ts';
import { sh } from './programs.ts';

/** The volume group of the thin pool `vm-pool`. */
export const GROUP = 'qubes_dom0';

/** Makes a thin volume, which is started and stopped as by qubesd (ThinVolume in qubes/storage/lvm.py). */
export async function thinGround(size: number): Promise<Ground> {
  const vid = `${GROUP}/vm-work-private`;
  const [snap, back] = [`${vid}-snap`, `${vid}-1700000000-back`];
  await sh(`lvm lvcreate -q -V ${size}b --thinpool vm-pool -n vm-work-private ${GROUP}`);
  const snapshot = (from: string, to: string) => sh(`lvm lvcreate -q -kn -ay -s ${from} -n ${to}`);
  const remove = (lv: string) => sh(`lvm lvremove -q -f ${lv}`).catch(() => '');
  let isRunning = false;
  const writable = (): string => (isRunning ? snap : vid);
  const isHere = () => Promise.resolve(isRunning);
  const settings = new Map([
    ['driver', 'lvm_thin'],
    ['volume_group', GROUP],
    ['thin_pool', 'vm-pool'],
  ]);

  return {
    name: 'lvm_thin',
    blockSize: 65_536,
    vid,
    committed: `/dev/${vid}`,
    get isRunning() {
      return isRunning;
    },
    get writable() {
      return `/dev/${writable()}`;
    },
    detector: (series, notes, warn) => {
      const surroundings = {
        ...{ isRunning: isHere, runAsRoot: runnerBehind([]), linesAsRoot: lineRunnerBehind([]) },
        ...{ bytesAsRoot: byteRunnerBehind([]), rootPrefix: [], series, notes, warn },
      };
      const driver = openPool('pool', settings, surroundings);
      return openDetector(driver, settings, surroundings);
    },
    async start() {
      await snapshot(vid, snap);
      isRunning = true;
    },
    async stop() {
      await remove(back);
      await sh(`lvm lvrename -q ${vid} ${back}`);
      await sh(`lvm lvrename -q ${snap} ${vid}`);
      isRunning = false;
    },
    async revert() {
      const listed = await sh(`lvm lvs --noheadings -o lv_name ${GROUP}`);
      if (!listed.includes('-back')) return;
      await remove(vid);
      await snapshot(back, vid);
    },
    async clone() {
      await remove(`${GROUP}/vm-clone-private`);
      await snapshot(writable(), `${GROUP}/vm-clone-private`);
    },
    discard: async (offset, length) => {
      await sh(`blkdiscard -o ${offset} -l ${length} /dev/${writable()}`);
    },
    async grow(bytes) {
      await sh(`lvm lvextend -q -L +${bytes}b ${writable()}`);
    },
    /** As after a boot, the pool is set up again from its metadata. */
    async disturb() {
      await sh(`lvm vgchange -q -an ${GROUP}`);
      await sh(`lvm vgchange -q -ay -K ${GROUP}`);
    },
  };
}
