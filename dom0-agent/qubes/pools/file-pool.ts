import { join } from 'node:path';

import type { HeldVolume, PlacedVolume, VolumeDriver } from './pool-driver.ts';
import { type IsRunning, requireHalted, requireStillHalted } from './pool-driver.ts';

/** The image of a volume's committed content, in both kinds of file pool. */
const imageOf = (directory: string, { vid }: PlacedVolume): string => join(directory, `${vid}.img`);

/**
 * The driver `file-reflink`. A commit replaces the image by renaming, so whoever has it open keeps
 * reading the old one: nothing needs to be held. Only a volume without a saved state is written in place.
 */
export function openFileReflinkPool(directory: string, isRunning: IsRunning): VolumeDriver {
  return {
    keepsSavedState: true,
    hold: async (volume) =>
      volume.hasNoSavedState
        ? holdHalted(directory, volume, isRunning)
        : holdNothing(imageOf(directory, volume)),
    removeStale: () => Promise.resolve(),
  };
}

/**
 * The driver `file`. A running VM writes straight into the image, so it can be read only while the
 * VM is halted; and whether it stayed halted is looked at again afterwards.
 */
export function openFilePool(directory: string, isRunning: IsRunning): VolumeDriver {
  return {
    keepsSavedState: false,
    hold: (volume) => holdHalted(directory, volume, isRunning),
    removeStale: () => Promise.resolve(),
  };
}

function holdNothing(path: string): HeldVolume {
  return {
    path,
    requireUnchanged: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

async function holdHalted(
  directory: string,
  volume: PlacedVolume,
  isRunning: IsRunning,
): Promise<HeldVolume> {
  await requireHalted(volume, isRunning);
  return {
    ...holdNothing(imageOf(directory, volume)),
    requireUnchanged: () => requireStillHalted(volume, isRunning),
  };
}
