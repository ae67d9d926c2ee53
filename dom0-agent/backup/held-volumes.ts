import { drain } from '../archive/drain.ts';
import { mapAhead } from '../archive/coffer1/map-ahead.ts';
import type { Qube, Volume } from '../qubes/qube.ts';
import type { PlannedQube } from './plan-backup.ts';
import type { HeldSource } from './volume-source.ts';

/** So many are held at a time: a pool's programs take their time, and wait for each other for most of it. */
const AT_ONCE = 4;

/**
 * The volumes of a backup, all held before the first is read, so that it has the VMs as they were at one time. Disposing
 * of it releases those that were not taken.
 */
export class HeldVolumes implements AsyncDisposable {
  readonly #held = new Map<Volume, HeldSource>();

  /**
   * Holds the volumes of some VMs.
   *
   * @param isOfOne whether a failure is that of one volume, to be told when it is opened; others end the holding
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

  /** A volume, which is to be released by the caller from now on. */
  take(volume: Volume): HeldSource {
    const held = this.#held.get(volume);
    if (held === undefined) throw new RangeError(`${volume.name} is not held`);
    this.#held.delete(volume);
    return held;
  }

  /** Throws what the first release that failed threw, once all were tried. */
  async [Symbol.asyncDispose](): Promise<void> {
    const errors: unknown[] = [];
    for (const [volume, held] of this.#held) {
      this.#held.delete(volume);
      const [released] = await Promise.allSettled([held[Symbol.asyncDispose]()]);
      if (released.status === 'rejected') errors.push(released.reason);
    }
    if (errors.length > 0) throw errors[0];
  }
}

function failed(error: Error): HeldSource {
  return {
    open: () => Promise.reject(error),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
