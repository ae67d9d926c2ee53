import { join } from 'node:path';

import type { VolumeDriver } from './driver.ts';
import { isLeftover, ownedName } from './owner.ts';
import type { Run } from './run.ts';

export interface LvmThinOptions {
  readonly volumeGroup: string;
  /** Runs programs as root. */
  readonly runAsRoot: Run;
  /** Where volume groups show their devices. Default: `/dev`. */
  readonly devices?: string | undefined;
}

/**
 * The driver `lvm_thin`: a volume is held by a thin snapshot of it.
 *
 * The snapshot's name begins as the volume's does, with `vm-`, since that makes udev in dom0 leave
 * a device alone (12-qubes-ignore-lvm-devices.rules): it would otherwise look for file systems in
 * what a VM wrote. It ends in `-snap`, which makes qubesd leave it alone (ThinPool.list_volumes).
 */
export function openLvmThinPool(options: LvmThinOptions): VolumeDriver {
  const { volumeGroup, runAsRoot, devices = '/dev' } = options;
  const remove = (id: string) => runAsRoot('lvm', ['lvremove', '--force', '--', id]);

  return {
    async hold({ vid }) {
      const snapshot = `${vid}-${await ownedName()}-snap`;
      await runAsRoot('lvm', [
        'lvcreate',
        '--setactivationskip=n',
        '--activate=y',
        '--snapshot',
        '--type=thin',
        `--name=${snapshot}`,
        '--',
        vid,
      ]);
      try {
        // Active already, as a rule; not where LVM is set up to activate nothing by itself.
        await runAsRoot('lvm', [
          'lvchange',
          '--activate=y',
          '--ignoreactivationskip',
          '--',
          snapshot,
        ]);
      } catch (error) {
        await remove(snapshot);
        throw error;
      }
      return {
        path: join(devices, snapshot),
        async [Symbol.asyncDispose]() {
          await remove(snapshot);
        },
      };
    },

    async removeLeftovers() {
      const listed = await runAsRoot('lvm', [
        'lvs',
        '--noheadings',
        '-o',
        'lv_name',
        '--',
        volumeGroup,
      ]);
      const names = listed.split('\n').map((line) => line.trim());
      for (const name of names.filter((name) => name.endsWith('-snap'))) {
        if (await isLeftover(name)) await remove(`${volumeGroup}/${name}`);
      }
    },
  };
}
