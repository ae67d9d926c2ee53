import { FailedError, RefusedError } from '../../../shared/errors.ts';
import type { Notes } from '../changes/notes.ts';
import { openDetector } from '../changes/open-detector.ts';
import type { PoolDetector } from '../changes/pool-detector.ts';
import { spaceOfCopies } from '../changes/reflink-copies.ts';
import { trackChanges, type TrackedSystem } from '../changes/track-changes.ts';
import type { TrackingOptions } from '../changes/volume-changes.ts';
import { wasWrittenSince } from '../changes/was-written.ts';
import { type Qube, type Volume, volumeLabel, whyUnsaved } from '../qube.ts';
import type { QubesSystem, VolumeImage } from '../system.ts';
import { beneathCallbacks, CALLBACK_CONFIGURATION } from '../pools/callback-pool.ts';
import { holdVolume, openHeldImage } from '../pools/held-image.ts';
import { placedVolume, type VolumeDriver } from '../pools/pool-driver.ts';
import { isReadable, openPool, type PoolSurroundings } from '../pools/open-pool.ts';
import { AdminApiError, isAdminApiError } from './admin-api-error.ts';
import type { AdminApi } from './admin-api.ts';
import { memoize } from '../../../shared/memoize.ts';
import type { RunForBytes, RunForLines } from '../../../shared/run-program.ts';
import { linesOf, parseFields } from './replies.ts';

export interface VolumesOptions extends PoolSurroundings {
  /** Runs programs as root for their lines. */
  readonly linesAsRoot: RunForLines;
  readonly bytesAsRoot: RunForBytes;
  /** See `rootPrefix` in run-program.ts. */
  readonly rootPrefix: readonly string[];
  readonly api: AdminApi;
  /** The command that reads an image as root, without its path and label; undefined when coffer itself can. */
  readonly readAsRoot: readonly string[] | undefined;
  /** Default: `CALLBACK_CONFIGURATION`. */
  readonly callbackConfiguration?: string | undefined;
}

/** Reads the volumes of a system, each through the driver of its pool. */
export class VolumeReader {
  readonly #options: VolumesOptions;
  readonly #pools = new Map<string, Pool>();

  constructor(options: VolumesOptions) {
    this.#options = options;
  }

  /** See `QubesSystem.holdVolume`. Before the first volume of a pool is held, stale snapshots in it are removed. */
  readonly hold: QubesSystem['holdVolume'] = (qube, volume, signal) =>
    this.#explaining(qube, volume, signal, async () => {
      const pool = this.#poolOf(volume.pool);
      await pool.clean();
      const driver = await pool.driver();
      const held = await holdVolume(driver, placedVolume(qube, volume), this.#options.readAsRoot);
      return {
        open: (signal) =>
          this.#explaining(qube, volume, signal, async () =>
            this.#explainingChange(await held.open(signal), qube, volume, signal),
          ),
        [Symbol.asyncDispose]: () => held[Symbol.asyncDispose](),
      };
    });

  /** See `QubesSystem.whyUnreadable`. */
  readonly whyUnreadable: QubesSystem['whyUnreadable'] = async (volume, isRunning) => {
    let driver: VolumeDriver;
    try {
      driver = await this.#poolOf(volume.pool).driver();
    } catch (error) {
      if (error instanceof RefusedError || error instanceof AdminApiError) return error.message;
      throw error;
    }
    if (!isRunning) return undefined;
    if (driver.keepsSavedState) return whyUnsaved(volume);
    return `its volume ${volume.name} has no separate saved state (the pool ${volume.pool} keeps none)`;
  };

  /** See `QubesSystem.hasUncommitted`. */
  readonly hasUncommitted: QubesSystem['hasUncommitted'] = async ({ pool, vid }) => {
    try {
      return await (await this.#poolOf(pool).driver()).hasUncommitted(vid);
    } catch (error) {
      // The backup is refused, or fails, because of the pool.
      if (error instanceof RefusedError || error instanceof AdminApiError) return false;
      throw error;
    }
  };

  /** See `QubesSystem.trackChanges`. */
  readonly trackChanges: QubesSystem['trackChanges'] = async (options) => {
    const tracking = await trackChanges(
      {
        detectorOf: async (pool, notes) => {
          await this.#poolOf(pool).clean();
          return this.#detectorOf(pool, notes, options);
        },
        imageOf: (opened, { label }, known, signal) =>
          openHeldImage(opened, label, this.#options.readAsRoot, signal, known),
      },
      options,
    );
    return {
      hold: (tracked, signal) => {
        const { qube, volume } = tracked;
        return this.#explaining(qube, volume, signal, async () => {
          const held = await tracking.hold(tracked, signal);
          return {
            open: (signal) =>
              this.#explaining(qube, volume, signal, async () => {
                const { image, ...opened } = await held.open(signal);
                const explaining = image && this.#explainingChange(image, qube, volume, signal);
                return { ...opened, image: explaining };
              }),
            [Symbol.asyncDispose]: () => held[Symbol.asyncDispose](),
          };
        });
      },
      commit: () => tracking.commit(),
      [Symbol.asyncDispose]: () => tracking[Symbol.asyncDispose](),
    };
  };

  /** See `QubesSystem.wasWrittenSince`. */
  readonly wasWrittenSince: QubesSystem['wasWrittenSince'] = ({ directory, series }) => {
    const options = { series, warn: () => undefined };
    const detectorOf: TrackedSystem['detectorOf'] = (pool, notes) =>
      this.#detectorOf(pool, notes, options);
    return wasWrittenSince({ detectorOf }, directory);
  };

  /** See `QubesSystem.spaceOfCopies`. */
  async spaceOfCopies(): Promise<number> {
    const { runAsRoot, linesAsRoot } = this.#options;
    let space = 0;
    for (const name of linesOf(await this.#options.api('dom0', 'admin.pool.List'))) {
      const settings = await this.#settingsOf(name);
      const directory = settings.get('dir_path');
      if (settings.get('driver') !== 'file-reflink' || directory === undefined) continue;
      space += await spaceOfCopies(directory, runAsRoot, linesAsRoot);
    }
    return space;
  }

  /** Removes what killed coffer processes have left in the pools that coffer can read. */
  async removeStaleSnapshots(): Promise<void> {
    for (const name of linesOf(await this.#options.api('dom0', 'admin.pool.List'))) {
      if (isReadable(await this.#settingsOf(name))) await this.#poolOf(name).clean();
    }
  }

  #poolOf(name: string): Pool {
    const driver = memoize(async () => openPool(name, await this.#settingsOf(name), this.#options));
    const clean = memoize(async () => (await driver()).removeStale());
    const pool = this.#pools.get(name) ?? { driver, clean };
    this.#pools.set(name, pool);
    return pool;
  }

  async #detectorOf(
    pool: string,
    notes: Notes,
    { series, warn }: Pick<TrackingOptions, 'series' | 'warn'>,
  ): Promise<PoolDetector> {
    const driver = await this.#poolOf(pool).driver();
    return openDetector(driver, await this.#settingsOf(pool), {
      ...this.#options,
      ...{ notes, series, warn },
    });
  }

  async #settingsOf(pool: string): Promise<ReadonlyMap<string, string>> {
    const { api, runAsRoot, callbackConfiguration = CALLBACK_CONFIGURATION } = this.#options;
    const settings = parseFields(await api('dom0', 'admin.pool.Info', pool));
    return beneathCallbacks(pool, settings, () => runAsRoot('cat', ['--', callbackConfiguration]));
  }

  #explainingChange(
    image: VolumeImage,
    qube: Qube,
    volume: Volume,
    signal: AbortSignal,
  ): VolumeImage {
    return {
      ...image,
      requireUnchanged: () =>
        this.#explaining(qube, volume, signal, () => image.requireUnchanged()),
    };
  }

  async #explaining<T>(
    qube: Qube,
    volume: Volume,
    signal: AbortSignal,
    step: () => Promise<T>,
  ): Promise<T> {
    try {
      return await step();
    } catch (error) {
      throw await this.#explained(error, qube, volume, signal);
    }
  }

  /** The error to report: if the VM was removed, that explains whatever went wrong with its volume. */
  async #explained(
    error: unknown,
    qube: Qube,
    volume: Volume,
    signal: AbortSignal,
  ): Promise<unknown> {
    if (signal.aborted || (await exists(this.#options.api, qube.name))) return error;
    return new FailedError(
      `${volumeLabel(qube.name, volume.name)} cannot be read: ${qube.name} was removed in the meantime`,
    );
  }
}

interface Pool {
  readonly driver: () => Promise<VolumeDriver>;
  /** Removes stale snapshots, once. */
  readonly clean: () => Promise<void>;
}

async function exists(api: AdminApi, name: string): Promise<boolean> {
  try {
    await api(name, 'admin.vm.List');
    return true;
  } catch (error) {
    return !isAdminApiError(error, 'QubesVMNotFoundError');
  }
}
