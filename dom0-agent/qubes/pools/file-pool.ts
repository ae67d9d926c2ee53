import { join } from 'node:path';

import { exists } from '../file-exists.ts';
import { type HoldFile, holdFile } from './held-file.ts';
import {
  type IsRunning,
  type OpenedVolume,
  type PlacedVolume,
  requireHalted,
  requireStillHalted,
  type VolumeDriver,
} from './pool-driver.ts';

/** The image of a volume's committed content, in both kinds of file pool. */
const imageOf = (directory: string, { vid }: PlacedVolume): string => join(directory, `${vid}.img`);

/**
 * The driver `file-reflink`. A commit replaces the image by renaming, so an open image stays the same: no
 * snapshot is needed. Only a volume without a saved state is written in place.
 */
export function openFileReflinkPool(
  directory: string,
  isRunning: IsRunning,
  hold: HoldFile = holdFile,
): VolumeDriver {
  return {
    keepsSavedState: true,
    holds: ({ hasNoSavedState }) => !hasNoSavedState,
    open: async (volume) =>
      volume.hasNoSavedState
        ? openHalted(directory, volume, isRunning)
        : {
            ...(await hold(imageOf(directory, volume), volume.label)),
            requireUnchanged: () => Promise.resolve(),
          },
    hasUncommitted: (vid) => exists(join(directory, `${vid}-dirty.img`)).catch(() => false),
    removeStale: () => Promise.resolve(),
  };
}

/**
 * The driver `file`. A running VM writes directly to the image, so it can be read only while the VM is
 * halted; whether it stayed halted is checked again afterwards.
 */
export function openFilePool(directory: string, isRunning: IsRunning): VolumeDriver {
  return {
    keepsSavedState: false,
    holds: () => false,
    open: (volume) => openHalted(directory, volume, isRunning),
    hasUncommitted: () => Promise.resolve(false),
    removeStale: () => Promise.resolve(),
  };
}

async function openHalted(
  directory: string,
  volume: PlacedVolume,
  isRunning: IsRunning,
): Promise<OpenedVolume> {
  await requireHalted(volume, isRunning);
  return {
    path: imageOf(directory, volume),
    requireUnchanged: () => requireStillHalted(volume, isRunning),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
