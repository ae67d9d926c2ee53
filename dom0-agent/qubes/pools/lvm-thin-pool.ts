import { join } from 'node:path';

import { FailedError } from '../../../shared/errors.ts';
import {
  type IsRunning,
  type PlacedVolume,
  requireHalted,
  type VolumeDriver,
} from './pool-driver.ts';
import { exists } from '../file-exists.ts';
import { isOwnerGone, newOwnerName } from '../owner-names.ts';
import type { RunProgram } from '../../../shared/run-program.ts';

export interface LvmThinOptions {
  readonly volumeGroup: string;
  /** Runs programs as root. */
  readonly runAsRoot: RunProgram;
  readonly isRunning: IsRunning;
  /** Where the device nodes of volume groups are. Default: `/dev`. */
  readonly devices?: string | undefined;
}

/**
 * The driver `lvm_thin`: a thin snapshot of the volume is read.
 *
 * The snapshot's name begins with `vm-`, as the volume's does, so that udev in dom0 ignores the device
 * (12-qubes-ignore-lvm-devices.rules) and does not look for file systems in what a VM wrote. It ends in
 * `-snap`, so that qubesd ignores it (ThinPool.list_volumes). And it contains a `+`, which no name of a VM
 * or volume can, so that the two are never confused.
 */
export function openLvmThinPool(options: LvmThinOptions): VolumeDriver {
  const { volumeGroup, runAsRoot, isRunning, devices = '/dev' } = options;
  const remove = (id: string) => runAsRoot('lvm', ['lvremove', '--force', '--', id]);

  return {
    keepsSavedState: true,
    holds: () => true,

    async open(volume) {
      if (volume.hasNoSavedState) await requireHalted(volume, isRunning);
      const owned = await newOwnerName();
      const snapshot = `${volume.vid}${markOf(owned)}`;
      await runAsRoot('lvm', [
        'lvcreate',
        '--setactivationskip=n',
        '--activate=y',
        // No --type beside it, which LVM refuses: of a thin volume, a snapshot without a size is a thin one.
        '--snapshot',
        `--addtag=${owned}`,
        `--name=${snapshot}`,
        '--',
        volume.vid,
      ]).catch((error: unknown) => {
        throw inFullPool(error, volume) ?? error;
      });
      try {
        // Usually active already, but not where LVM is configured to activate nothing automatically.
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

    // As qubesd finds it: ThinVolume in qubes/storage/lvm.py of qubes-core-admin.
    hasUncommitted: (vid) => exists(join(devices, `${vid}-snap`)).catch(() => false),

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

/** The suffix of a snapshot's name; the snapshot has the owner as a tag, too. */
function markOf(owned: string): string {
  return `+${owned}-snap`;
}

/** LVM makes no snapshot in a pool without free space (its words are those of 2.03.16); undefined for other errors. */
function inFullPool(error: unknown, { label }: PlacedVolume): FailedError | undefined {
  if (
    !(error instanceof FailedError) ||
    !/out of data space|reached threshold/.test(error.message)
  ) {
    return undefined;
  }
  return new FailedError(
    `${label} cannot be read: its thin pool is full, and LVM makes no snapshot in it: free some space there, by removing ` +
      'a VM or old revisions, and try again',
    { cause: error },
  );
}
