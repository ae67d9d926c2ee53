import { FailedError } from '../../../shared/errors.ts';
import type { Qube, Volume } from '../qube.ts';
import type { QubesSystem, VolumeImage } from '../system.ts';
import type { HeldVolume, VolumeDriver } from '../volumes/driver.ts';
import { openImageAsRoot } from '../volumes/image-as-root.ts';
import { openImage } from '../volumes/image.ts';
import { isReadable, openPool, type PoolSurroundings } from '../volumes/open-pool.ts';
import { isAdminApiError } from './admin-api-error.ts';
import type { AdminApi } from './admin-api.ts';
import { remembered } from './remembered.ts';
import { linesOf, parseFields } from './replies.ts';

export interface VolumesOptions extends PoolSurroundings {
  readonly api: AdminApi;
  /** What reads an image as root, but for its path and label; undefined when coffer itself can. */
  readonly readAsRoot: readonly string[] | undefined;
}

/** Removes what killed coffers have left in the pools that coffer can read. */
export async function removeLeftovers({ api, ...surroundings }: VolumesOptions): Promise<void> {
  for (const name of linesOf(await api('dom0', 'admin.pool.List'))) {
    const settings = parseFields(await api('dom0', 'admin.pool.Info', name));
    if (isReadable(settings)) await openPool(name, settings, surroundings).removeLeftovers();
  }
}

/**
 * Opens volumes for reading, each as its pool has it. The first time that a pool is read, what
 * a killed coffer left in it is removed.
 */
export function openVolumes(options: VolumesOptions): QubesSystem['openVolume'] {
  const { api, readAsRoot } = options;
  const pools = new Map<string, () => Promise<VolumeDriver>>();

  const openedPool = async (name: string): Promise<VolumeDriver> => {
    const settings = parseFields(await api('dom0', 'admin.pool.Info', name));
    const driver = openPool(name, settings, options);
    await driver.removeLeftovers();
    return driver;
  };
  const poolOf = ({ pool }: Volume): Promise<VolumeDriver> => {
    const open = pools.get(pool) ?? remembered(() => openedPool(pool));
    pools.set(pool, open);
    return open();
  };

  const open = async (qube: Qube, volume: Volume, signal: AbortSignal): Promise<VolumeImage> => {
    const label = `the volume ${volume.name} of ${qube.name}`;
    const driver = await poolOf(volume);
    const held = await driver.hold({ label, qubeName: qube.name, vid: volume.vid });
    try {
      const image =
        readAsRoot === undefined
          ? await openImage(held.path, label, signal)
          : await openImageAsRoot(readAsRoot, held.path, label, signal);
      return heldImage(image, held);
    } catch (error) {
      await held[Symbol.asyncDispose]();
      throw error;
    }
  };

  return async (qube, volume, signal) => {
    try {
      return await open(qube, volume, signal);
    } catch (error) {
      if (signal.aborted || (await exists(api, qube.name))) throw error;
      throw new FailedError(
        `the volume ${volume.name} of ${qube.name} cannot be read: ${qube.name} was removed meanwhile`,
      );
    }
  };
}

/** An image that lets go of what holds it when it is disposed of. */
function heldImage(image: VolumeImage, held: HeldVolume): VolumeImage {
  return {
    size: image.size,
    extents: image.extents,
    read: (buffer, offset) => image.read(buffer, offset),
    async [Symbol.asyncDispose]() {
      // Closed first, since what is open cannot be removed; released whatever happens.
      try {
        await image[Symbol.asyncDispose]();
      } finally {
        await held[Symbol.asyncDispose]();
      }
    },
  };
}

async function exists(api: AdminApi, name: string): Promise<boolean> {
  try {
    await api(name, 'admin.vm.List');
    return true;
  } catch (error) {
    return !isAdminApiError(error, 'QubesVMNotFoundError');
  }
}
