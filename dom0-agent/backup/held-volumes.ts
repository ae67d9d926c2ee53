import { disposeOfAll } from '../../shared/dispose-of-all.ts';
import { drain } from '../archive/drain.ts';
import { mapAhead } from '../archive/coffer1/map-ahead.ts';
import type { Qube, Volume } from '../qubes/qube.ts';
import type { PlannedQube } from './plan-backup.ts';
import type { HeldSource } from './volume-source.ts';

/** How many volumes are being held at the same time: a pool's programs are slow, and mostly wait for each other. */
const AT_ONCE = 4;

/**
 * The volumes of a backup, all held before the first is read, so that all VMs are backed up as they were at one time.
 * Disposing of it releases those that were not taken.
 */
export class HeldVolumes implements AsyncDisposable {
  readonly #held = new Map<Volume, HeldSource>();

  /**
   * Holds the volumes of these VMs.
   *
   * @param isOfOne whether an error is about one volume only: then `open` of that throws it; others are thrown here
   */
  static async of(
    qubes: readonly PlannedQube[],
    hold: (qube: Qube, volume: Volume) => Promise<HeldSource>,
    isOfOne: (error: unknown) => error is Error,
    signal: AbortSignal,
  ): Promise<HeldVolumes> {
    const volumes = new HeldVolumes();
    const all = qubes.flatMap((planned) =>
      planned.volumes.map((volume) => ({ qube: planned.qube, volume })),
    );
    try {
      const holding = mapAhead(all, AT_ONCE, async ({ qube, volume }) => {
        signal.throwIfAborted();
        try {
          volumes.#held.set(volume, await hold(qube, volume));
        } catch (error) {
          if (signal.aborted || !isOfOne(error)) throw error;
          volumes.#held.set(volume, failed(error));
        }
      });
      await drain(holding);
      signal.throwIfAborted();
      return volumes;
    } catch (error) {
      await volumes[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** A held volume, which the caller must release. Throws RangeError if it is not held, or was taken already. */
  take(volume: Volume): HeldSource {
    const held = this.#held.get(volume);
    if (held === undefined) throw new RangeError(`${volume.name} is not held`);
    this.#held.delete(volume);
    return held;
  }

  /** Tries to release all; throws the first error afterwards. */
  async [Symbol.asyncDispose](): Promise<void> {
    const held = [...this.#held.values()];
    this.#held.clear();
    await disposeOfAll(held);
  }
}

function failed(error: Error): HeldSource {
  return {
    open: () => Promise.reject(error),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
