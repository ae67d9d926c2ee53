import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { FailedError, systemCodeOf } from '../../../shared/errors.ts';
import type { PlacedVolume, VolumeDriver } from './driver.ts';
import { isLeftover, ownedName } from './owner.ts';
import type { Run } from './run.ts';

/** udev makes a device's name a moment after ZFS made the device. */
const DEVICE_PATIENCE = 30_000;

export interface ZfsOptions {
  /** The dataset that holds the pool's volumes. */
  readonly container: string;
  /** Runs programs as root. */
  readonly runAsRoot: Run;
  readonly isRunning: (qubeName: string) => Promise<boolean>;
  /** Where ZFS shows volumes as devices. Default: `/dev/zvol`. */
  readonly devices?: string | undefined;
}

/**
 * The driver `zfs`: a volume is held by a clone of a snapshot, since a snapshot itself is no device
 * unless the user asked for it. A halted VM's volume is its committed content, and coffer takes
 * the snapshot; a running VM writes into its volume, and the last committed content is the newest
 * snapshot that qubesd took of a clean volume (ZFSVolume.export in qubes/storage/zfs.py).
 *
 * The clone lies in the pool's own dataset, and so inherits the mark that makes udev in dom0 leave
 * it alone (11-qubes-ignore-zvol-devices.rules).
 */
export function openZfsPool(options: ZfsOptions): VolumeDriver {
  const { container, runAsRoot, isRunning, devices = '/dev/zvol' } = options;
  const zfs = (...args: string[]) => runAsRoot('zfs', args);

  return {
    async hold(volume) {
      const owned = await ownedName();
      const clone = `${container}/${owned}`;
      const release: string[] = [];
      const releaseAll = async () => {
        for (const dataset of release) await zfs('destroy', dataset);
      };
      try {
        let source = `${volume.vid}@${owned}`;
        if (await isRunning(volume.qubeName)) {
          source = await lastCommitted(volume, zfs);
        } else {
          await zfs('snapshot', source);
          release.unshift(source);
        }
        await zfs('clone', '-o', 'readonly=on', '-o', 'com.sun:auto-snapshot=false', source, clone);
        release.unshift(clone);
        const path = join(devices, clone);
        await deviceAppears(path, volume.label);
        return { path, [Symbol.asyncDispose]: releaseAll };
      } catch (error) {
        await releaseAll();
        throw error;
      }
    },

    async removeLeftovers() {
      const args = ['list', '-H', '-o', 'name', '-t', 'volume,snapshot', '-r', container];
      const names = (await zfs(...args)).split('\n');
      // A clone goes before the snapshot that it comes from.
      const clonesFirst = [
        ...names.filter((name) => !name.includes('@')),
        ...names.filter((name) => name.includes('@')),
      ];
      for (const name of clonesFirst) {
        const last = name.split(/[/@]/).at(-1) ?? '';
        if (last.startsWith('coffer.') && (await isLeftover(last))) await zfs('destroy', name);
      }
    },
  };
}

/** The newest clean snapshot of a volume, or else the newest revision. */
async function lastCommitted(
  { vid, label }: PlacedVolume,
  zfs: (...args: string[]) => Promise<string>,
): Promise<string> {
  // Oldest first.
  const listed = await zfs('list', '-H', '-o', 'name', '-s', 'creation', '-t', 'snapshot', vid);
  const snapshots = listed.split('\n');
  const found =
    snapshots.findLast((name) => name.startsWith(`${vid}@qubes-clean`)) ??
    snapshots.findLast((name) => name.startsWith(`${vid}@qubes:`));
  if (found === undefined) {
    throw new FailedError(
      `${label} has no committed content while its VM is running: shut the VM down first`,
    );
  }
  return found;
}

async function deviceAppears(path: string, label: string): Promise<void> {
  const deadline = Date.now() + DEVICE_PATIENCE;
  for (;;) {
    try {
      await access(path);
      return;
    } catch (error) {
      if (systemCodeOf(error) !== 'ENOENT') throw error;
    }
    if (Date.now() > deadline) {
      throw new FailedError(`${label} did not show up as ${path}: is udev running?`);
    }
    await sleep(50);
  }
}
