import type { Extent } from '../../../shared/sparse-data.ts';
import type { HeldVolume, VolumeImage } from '../system.ts';
import { openImage } from './open-image.ts';
import type { OpenedVolume, PlacedVolume, VolumeDriver } from './pool-driver.ts';
import { openImageAsRoot } from './root-reader-client.ts';

/**
 * Holds a volume as it is now; if its pool cannot do that, it is opened when it is read. Throws FailedError.
 *
 * @param readAsRoot see `openHeldImage`
 */
export async function holdVolume(
  driver: VolumeDriver,
  placed: PlacedVolume,
  readAsRoot: readonly string[] | undefined,
): Promise<HeldVolume> {
  let opened = driver.holds(placed) ? await driver.open(placed) : undefined;
  return {
    open: async (signal) => {
      opened ??= await driver.open(placed);
      return openHeldImage(opened, placed.label, readAsRoot, signal);
    },
    [Symbol.asyncDispose]: async () => opened?.[Symbol.asyncDispose](),
  };
}

/**
 * Opens the content of a volume that its pool holds. Disposing of it closes it, but not the volume.
 *
 * @param label for messages: `the volume private of work`
 * @param readAsRoot see `openImageAsRoot`; undefined when coffer itself may read the volume
 * @param known where there is data, if the pool knows
 */
export async function openHeldImage(
  opened: OpenedVolume,
  label: string,
  readAsRoot: readonly string[] | undefined,
  signal: AbortSignal,
  known?: readonly Extent[],
): Promise<VolumeImage> {
  const image =
    readAsRoot === undefined
      ? await openImage(opened.path, label, signal, known)
      : await openImageAsRoot(readAsRoot, opened.path, label, signal, known);
  return {
    size: image.size,
    extents: image.extents,
    read: (buffer, offset) => image.read(buffer, offset),
    async requireUnchanged() {
      await opened.requireUnchanged();
      await image.requireUnchanged();
    },
    [Symbol.asyncDispose]: () => image[Symbol.asyncDispose](),
  };
}
