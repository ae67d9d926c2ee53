import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { FailedError, systemCodeOf } from '../../../shared/errors.ts';
import {
  type IsRunning,
  type PlacedVolume,
  requireHalted,
  type VolumeDriver,
} from './pool-driver.ts';
import { isOwnerGone, newOwnerName } from '../owner-names.ts';
import type { RunProgram } from '../../../shared/run-program.ts';

/** In milliseconds: udev creates the device node a moment after ZFS creates the device. */
const DEVICE_TIMEOUT = 30_000;

/** The property in which coffer's snapshots and clones have their own name; VMs' volumes do not have it. */
const OWNER = 'coffer:owner';

export interface ZfsOptions {
  /** The dataset that holds the pool's volumes. */
  readonly container: string;
  /** Runs programs as root. */
  readonly runAsRoot: RunProgram;
  readonly isRunning: IsRunning;
  /** Where the device nodes of volumes are. Default: `/dev/zvol`. */
  readonly devices?: string | undefined;
}

/**
 * The driver `zfs`: a clone of a snapshot is read, since a snapshot itself has no device node unless the
 * user enabled that. A halted VM's volume is its committed content, and coffer takes the snapshot; a
 * running VM writes to its volume, and the last committed content is the newest snapshot that qubesd
 * took of a clean volume (ZFSVolume.export in qubes/storage/zfs.py).
 *
 * The clone is in the pool's own dataset, and so inherits the property that makes udev in dom0 ignore it
 * (11-qubes-ignore-zvol-devices.rules).
 */
export function openZfsPool(options: ZfsOptions): VolumeDriver {
  const { container, runAsRoot, isRunning, devices = '/dev/zvol' } = options;
  const zfs = (...args: string[]) => runAsRoot('zfs', args);
  const destroy = async (name: string): Promise<void> => {
    // When its volume was removed meanwhile, qubesd has given the snapshot to the clone.
    await zfs('destroy', ...(name.includes('@') ? [name] : ['-r', name])).catch(unlessGone);
  };

  return {
    keepsSavedState: true,
    holds: () => true,

    async open(volume) {
      if (volume.hasNoSavedState) await requireHalted(volume, isRunning);
      const owned = await newOwnerName();
      const owner = `${OWNER}=${owned}`;
      const clone = `${container}/${owned}`;
      const release: string[] = [];
      const releaseAll = async () => {
        for (const dataset of release) await destroy(dataset);
      };
      try {
        let source = `${volume.vid}@${owned}`;
        const wasHalted = !(await isRunning(volume.qubeName));
        if (wasHalted) {
          await zfs('snapshot', '-o', owner, source).catch(inFullPool(volume));
          release.unshift(source);
        }
        if (volume.hasNoSavedState) await requireHalted(volume, isRunning);
        // A VM that was just started may have written to the volume before the snapshot.
        if (!wasHalted || (await isRunning(volume.qubeName))) {
          source = await lastCommitted(volume, zfs);
        }
        const options = ['readonly=on', 'com.sun:auto-snapshot=false', owner];
        await zfs('clone', ...options.flatMap((option) => ['-o', option]), source, clone).catch(
          inFullPool(volume),
        );
        release.unshift(clone);
        const path = join(devices, clone);
        await deviceAppears(path, volume.label);
        return {
          path,
          requireUnchanged: () => Promise.resolve(),
          [Symbol.asyncDispose]: releaseAll,
        };
      } catch (error) {
        await releaseAll();
        throw error;
      }
    },

    // It is in the volume itself, which is read while the VM is halted.
    hasUncommitted: () => Promise.resolve(false),

    async removeStale() {
      const args = ['list', '-H', '-o', `name,${OWNER}`, '-t', 'volume,snapshot', '-r', container];
      const listed = (await zfs(...args)).split('\n').map((line) => line.split('\t'));
      // A snapshot inherits its volume's property, and a VM can have any name: coffer's own have both.
      const ours = listed.flatMap(([name = '', owner]) =>
        owner !== undefined && name.split(/[/@]/).at(-1) === owner ? [{ name, owner }] : [],
      );
      // A clone is destroyed before its snapshot.
      const isSnapshot = ({ name }: { name: string }): number => Number(name.includes('@'));
      ours.sort((one, other) => isSnapshot(one) - isSnapshot(other));
      for (const { name, owner } of ours) if (await isOwnerGone(owner)) await destroy(name);
    },
  };
}

/** The newest clean snapshot of a volume, or else the newest revision. */
async function lastCommitted(
  { vid, label }: PlacedVolume,
  zfs: (...args: string[]) => Promise<string>,
): Promise<string> {
  // Oldest first; two may have been made in the same second.
  const listed = await zfs('list', '-H', '-o', 'name', '-s', 'createtxg', '-t', 'snapshot', vid);
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

/** What was to be destroyed may have gone with its volume (the words are those of ZFS 2.1). */
function unlessGone(error: unknown): void {
  if (error instanceof FailedError && GONE.test(error.message)) return;
  throw error;
}

const GONE = /dataset does not exist|could not find any snapshots to destroy/;

/** ZFS makes nothing in a pool without free space (its words are those of 2.1). */
function inFullPool({ label }: PlacedVolume): (error: unknown) => never {
  return (error) => {
    if (!(error instanceof FailedError) || !error.message.includes('out of space')) throw error;
    throw new FailedError(
      `${label} cannot be read: its pool is full, and ZFS makes no snapshot in it: free some space there, by removing a VM ` +
        'or old revisions, and try again',
      { cause: error },
    );
  };
}

async function deviceAppears(path: string, label: string): Promise<void> {
  const deadline = Date.now() + DEVICE_TIMEOUT;
  for (;;) {
    try {
      await access(path);
      return;
    } catch (error) {
      if (systemCodeOf(error) !== 'ENOENT') throw error;
    }
    if (Date.now() > deadline) {
      throw new FailedError(`${label} did not appear as ${path}: is udev running?`);
    }
    await sleep(50);
  }
}
