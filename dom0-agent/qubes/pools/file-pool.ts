import { join } from 'node:path';

import type { OpenedVolume, PlacedVolume, VolumeDriver } from './pool-driver.ts';
import { type IsRunning, requireHalted, requireStillHalted } from './pool-driver.ts';

/** The image of a volume's committed content, in both kinds of file pool. */
const imageOf = (directory: string, { vid }: PlacedVolume): string => join(directory, `${vid}.img`);

/**
 * The driver `file-reflink`. A commit replaces the image by renaming, so an open image stays the same: no
 * snapshot is needed. Only a volume without a saved state is written in place.
 */
export function openFileReflinkPool(directory: string, isRunning: IsRunning): VolumeDriver {
  return {
    keepsSavedState: true,
    open: async (volume) =>
      volume.hasNoSavedState
        ? openHalted(directory, volume, isRunning)
        : openAsIs(imageOf(directory, volume)),
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
    open: (volume) => openHalted(directory, volume, isRunning),
    removeStale: () => Promise.resolve(),
  };
}

function openAsIs(path: string): OpenedVolume {
  return {
    path,
    requireUnchanged: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

async function openHalted(
  directory: string,
  volume: PlacedVolume,
  isRunning: IsRunning,
): Promise<OpenedVolume> {
  await requireHalted(volume, isRunning);
  return {
    ...openAsIs(imageOf(directory, volume)),
    requireUnchanged: () => requireStillHalted(volume, isRunning),
  };
}
