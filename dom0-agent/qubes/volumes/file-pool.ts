import { join } from 'node:path';

import { FailedError, RefusedError } from '../../../shared/errors.ts';
import type { PlacedVolume, VolumeDriver } from './driver.ts';

/** The image of a volume's committed content, in both kinds of file pool. */
const imageOf = (directory: string, { vid }: PlacedVolume): string => join(directory, `${vid}.img`);

/**
 * The driver `file-reflink`. A commit replaces the image by renaming, so whoever has it open keeps
 * reading the old one: nothing needs to be held.
 */
export function openFileReflinkPool(directory: string): VolumeDriver {
  return {
    hold: (volume) =>
      Promise.resolve({
        path: imageOf(directory, volume),
        [Symbol.asyncDispose]: () => Promise.resolve(),
      }),
    removeLeftovers: () => Promise.resolve(),
  };
}

/**
 * The driver `file`. A running VM writes straight into the image, so it can be read only while the
 * VM is halted; and whether it stayed halted is looked at again afterwards.
 */
export function openFilePool(
  directory: string,
  isRunning: (qubeName: string) => Promise<boolean>,
): VolumeDriver {
  return {
    async hold(volume) {
      const { label, qubeName } = volume;
      if (await isRunning(qubeName)) {
        throw new RefusedError(
          `${label} cannot be read while ${qubeName} is running, as its pool is of the kind "file": ` +
            `shut ${qubeName} down first`,
        );
      }
      return {
        path: imageOf(directory, volume),
        async [Symbol.asyncDispose]() {
          if (await isRunning(qubeName)) {
            throw new FailedError(
              `${qubeName} was started while ${label} was read, so what was read is of no use: ` +
                `shut ${qubeName} down and begin again`,
            );
          }
        },
      };
    },
    removeLeftovers: () => Promise.resolve(),
  };
}
