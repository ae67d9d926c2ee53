import { FailedError } from '../../../shared/errors.ts';
import { disposeOfAll } from '../../../shared/dispose-of-all.ts';
import { memoize } from '../../../shared/memoize.ts';
import type { Extent } from '../../../shared/sparse-data.ts';
import { volumeLabel } from '../qube.ts';
import { extentsBelow } from '../pools/extent-list.ts';
import { type OpenedVolume, placedVolume, type PlacedVolume } from '../pools/pool-driver.ts';
import type { VolumeImage } from '../system.ts';
import { distrustNote, type Note, Notes, VOLUME_NOTE, volumeNote } from './notes.ts';
import type { Capture, Comparison, PoolDetector } from './pool-detector.ts';
import type {
  Changes,
  ChangeTracking,
  HeldChanges,
  OpenedChanges,
  TrackedVolume,
  TrackingOptions,
} from './volume-changes.ts';
import {
  afterOneMore,
  formatWholeReading,
  isDue,
  parseWholeReading,
  readWholeAt,
  type WholeReading,
} from './whole-reading.ts';

/** What tracking needs from a Qubes system. */
export interface TrackedSystem {
  /** A new detector for the pool of that name. Throws FailedError or RefusedError. */
  detectorOf(pool: string, notes: Notes): Promise<PoolDetector>;
  /** Opens the content of a volume. `extents`: where there is data, if that is known. */
  imageOf(
    opened: OpenedVolume,
    placed: PlacedVolume,
    extents: readonly Extent[] | undefined,
    signal: AbortSignal,
  ): Promise<VolumeImage>;
}

/** Starts a backup's tracking of changes: see `ChangeTracking`. Throws FailedError. */
export async function trackChanges(
  system: TrackedSystem,
  options: TrackingOptions,
): Promise<ChangeTracking> {
  return new Tracking(system, options, await Notes.open(options.directory));
}

/** There is nothing to be done. */
const NOTHING_LEFT = Promise.resolve();

class Tracking implements ChangeTracking {
  readonly #system: TrackedSystem;
  readonly #options: TrackingOptions;
  readonly #notes: Notes;
  readonly #now: number;
  readonly #pools = new Map<string, () => Promise<PoolDetector>>();
  /** The detectors of those pools that could be reached. */
  readonly #detectors: PoolDetector[] = [];
  readonly #kept = new Map<string, Note>();

  constructor(system: TrackedSystem, options: TrackingOptions, notes: Notes) {
    this.#system = system;
    this.#options = options;
    this.#notes = notes;
    this.#now = Math.floor((options.now ?? new Date()).getTime() / 1000);
  }

  async hold(tracked: TrackedVolume): Promise<HeldChanges> {
    const { qube, volume, key, since } = tracked;
    const placed = placedVolume(qube, volume);
    const detector = await this.#detectorOf(volume.pool);
    const noted = await this.#notes.read(volumeNote(key));
    // A note from another backup does not show what has changed since this one.
    const before = since !== undefined && noted?.['backup'] === since ? noted : undefined;
    const whole = before === undefined ? undefined : parseWholeReading(before);
    const why = await this.#whyWhole(volume.pool, before, whole);

    if (before !== undefined && whole !== undefined && why === undefined) {
      const identity = before['identity'];
      if (identity !== undefined && identity === (await detector.identityOf(placed))) {
        const opened = this.#unchanged(tracked, before, whole);
        return { open: () => Promise.resolve(opened), [Symbol.asyncDispose]: () => NOTHING_LEFT };
      }
    }
    const hold = () => detector.capture({ placed, key, backup: this.#options.backup });
    let capture = detector.holds(placed) ? await hold() : undefined;
    return {
      open: async (signal) => {
        capture ??= await hold();
        return this.#compared(tracked, capture, before, signal);
      },
      [Symbol.asyncDispose]: async () => capture?.[Symbol.asyncDispose](),
    };
  }

  async commit(): Promise<void> {
    for (const detector of this.#detectors) await detector.seal();
    const kept = Array.from(this.#kept, ([key, note]) => [volumeNote(key), note] as const);
    await this.#notes.writeAll(new Map(kept));
    await this.#forgetRemoved();
    const lasting = [...(await this.#notes.all(VOLUME_NOTE)).values()];
    for (const detector of this.#detectors) await detector.tidy(lasting);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await disposeOfAll(this.#detectors);
  }

  /** Removes the notes of volumes that no longer exist. A copy that only they need would hold all of their blocks. */
  async #forgetRemoved(): Promise<void> {
    const { existing } = this.#options;
    if (existing === undefined) return;
    const names = new Set(Array.from(existing, volumeNote));
    for (const name of (await this.#notes.all(VOLUME_NOTE)).keys()) {
      if (!names.has(name)) await this.#notes.remove(name);
    }
  }

  async #detectorOf(pool: string): Promise<PoolDetector> {
    let detector = this.#pools.get(pool);
    if (detector === undefined) {
      detector = memoize(async () => {
        const opened = await this.#system.detectorOf(pool, this.#notes);
        this.#detectors.push(opened);
        return opened;
      });
      this.#pools.set(pool, detector);
    }
    return await detector();
  }

  /** Finds out what changed in a volume that was captured, and opens it. */
  async #compared(
    tracked: TrackedVolume,
    capture: Capture,
    before: Note | undefined,
    signal: AbortSignal,
  ): Promise<OpenedChanges> {
    const { qube, volume } = tracked;
    const whole = before === undefined ? undefined : parseWholeReading(before);
    // Meanwhile, another volume may have shown that the pool cannot be trusted.
    const why = await this.#whyWhole(volume.pool, before, whole);
    const compared = await capture.compare(why === undefined ? before : undefined, signal);
    const placed = placedVolume(qube, volume);
    const image = await this.#system.imageOf(capture.opened, placed, compared.extents, signal);
    const changes = changesIn(why ?? compared.changed, image.size, before);
    return this.#changed(tracked, compared, image, { changes, whole });
  }

  /** Why a volume is compared as a whole, whatever its pool reports; undefined if it is not. */
  async #whyWhole(
    pool: string,
    before: Note | undefined,
    whole: WholeReading | undefined,
  ): Promise<string | undefined> {
    if (before === undefined || whole === undefined) return 'there is no record of it';
    if (isDue(whole, this.#now)) return 'it is compared as a whole once a month';
    if ((await this.#notes.read(distrustNote(pool))) === undefined) return undefined;
    return `what changed in the pool ${pool} was once reported wrongly`;
  }

  #unchanged(
    { qube, volume, key }: TrackedVolume,
    before: Note,
    whole: WholeReading,
  ): OpenedChanges {
    return {
      changes: { kind: 'nothing' },
      size: Number(before['size']),
      image: undefined,
      keep: () => {
        const now = { backup: this.#options.backup, ...formatWholeReading(afterOneMore(whole)) };
        this.#kept.set(key, { ...before, ...now });
      },
      requireUntouched: async () => {
        // A new detector, which has cached nothing.
        const detector = await this.#system.detectorOf(volume.pool, this.#notes);
        if ((await detector.identityOf(placedVolume(qube, volume))) === before['identity']) return;
        throw new FailedError(
          `${volumeLabel(qube.name, volume.name)} has changed since the backup began, and what the last backup stored of ` +
            'it is lost: try again',
        );
      },
      distrust: () => NOTHING_LEFT,
      [Symbol.asyncDispose]: () => NOTHING_LEFT,
    };
  }

  #changed(
    { qube, volume, key }: TrackedVolume,
    compared: Comparison,
    image: VolumeImage,
    found: { readonly changes: Changes; readonly whole: WholeReading | undefined },
  ): OpenedChanges {
    const { changes } = found;
    const { identity, note } = compared;
    let whole = changes.kind === 'ranges' ? found.whole : undefined;
    return {
      changes,
      size: image.size,
      image,
      keep: () => {
        this.#kept.set(key, {
          ...note,
          ...(identity === undefined ? {} : { identity }),
          ...formatWholeReading(whole === undefined ? readWholeAt(this.#now) : afterOneMore(whole)),
          size: `${image.size}`,
          backup: this.#options.backup,
        });
      },
      requireUntouched: () => NOTHING_LEFT,
      distrust: async () => {
        whole = undefined;
        await this.#distrust(volume.pool, volumeLabel(qube.name, volume.name));
      },
      [Symbol.asyncDispose]: () => image[Symbol.asyncDispose](),
    };
  }

  async #distrust(pool: string, label: string): Promise<void> {
    const name = distrustNote(pool);
    await this.#notes.write(name, { at: `${this.#now}`, volume: label });
    this.#options.warn(
      `${label} has changed although its pool ${pool} reported that it had not: from now on all volumes in this pool are ` +
        `compared as a whole, until you remove ${this.#notes.pathOf(`${name}.json`)}`,
    );
  }
}

/** @param changed the ranges, or why everything may have changed */
function changesIn(
  changed: readonly Extent[] | string,
  size: number,
  before: Note | undefined,
): Changes {
  if (typeof changed === 'string') return { kind: 'everything', why: changed };
  if (!(Number(before?.['size']) <= size)) {
    return { kind: 'everything', why: 'it is smaller than it was' };
  }
  return { kind: 'ranges', ranges: extentsBelow(changed, size) };
}
