import { join } from 'node:path';

import type { VolumeDriver } from './pool-driver.ts';
import { type IsRunning, requireHalted } from './pool-driver.ts';
import { isOwnerGone, newOwnerName } from '../owner-names.ts';
import type { Run } from '../../../shared/run-program.ts';

export interface LvmThinOptions {
  readonly volumeGroup: string;
  /** Runs programs as root. */
  readonly runAsRoot: Run;
  readonly isRunning: IsRunning;
  /** Where volume groups show their devices. Default: `/dev`. */
  readonly devices?: string | undefined;
}

/**
 * The driver `lvm_thin`: a volume is held by a thin snapshot of it.
 *
 * The snapshot's name begins as the volume's does, with `vm-`, since that makes udev in dom0 leave
 * a device alone (12-qubes-ignore-lvm-devices.rules): it would otherwise look for file systems in
 * what a VM wrote. It ends in `-snap`, which makes qubesd leave it alone (ThinPool.list_volumes). And it
 * holds a `+`, which no name of a VM or volume can: so it is never taken for a VM's, nor a VM's for it.
 */
export function openLvmThinPool(options: LvmThinOptions): VolumeDriver {
  const { volumeGroup, runAsRoot, isRunning, devices = '/dev' } = options;
  const remove = (id: string) => runAsRoot('lvm', ['lvremove', '--force', '--', id]);

  return {
    keepsSavedState: true,

    async open(volume) {
      if (volume.hasNoSavedState) await requireHalted(volume, isRunning);
      const owned = await newOwnerName();
      const snapshot = `${volume.vid}${markOf(owned)}`;
      await runAsRoot('lvm', [
        'lvcreate',
        '--setactivationskip=n',
        '--activate=y',
        '--snapshot',
        '--type=thin',
        `--addtag=${owned}`,
        `--name=${snapshot}`,
        '--',
        volume.vid,
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
        if (volume.hasNoSavedState) await requireHalted(volume, isRunning);
      } catch (error) {
        await remove(snapshot);
        throw error;
      }
      return {
        path: join(devices, snapshot),
        requireUnchanged: () => Promise.resolve(),
        async [Symbol.asyncDispose]() {
          await remove(snapshot);
        },
      };
    },

    async removeStale() {
      const listed = await runAsRoot('lvm', [
        'lvs',
        '--noheadings',
        '-o',
        'lv_name,lv_tags',
        '--',
        volumeGroup,
      ]);
      for (const line of listed.split('\n')) {
        const [name = '', tags = ''] = line.trim().split(/\s+/);
        const owner = tags.split(',').find((tag) => name.endsWith(markOf(tag)));
        if (owner !== undefined && (await isOwnerGone(owner))) {
          await remove(`${volumeGroup}/${name}`);
        }
      }
    },
  };
}

/** What coffer adds to a volume's name for its snapshot, which bears the owner as a tag, too. */
function markOf(owned: string): string {
  return `+${owned}-snap`;
}
