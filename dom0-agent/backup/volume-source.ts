import type { Extent } from '../../shared/sparse-data.ts';
import type { CheckOfChanges } from '../archive/content.ts';
import { sampleOf } from '../qubes/changes/sample.ts';
import type { ChangeTracking, OpenedChanges } from '../qubes/changes/volume-changes.ts';
import type { Qube, Volume } from '../qubes/qube.ts';
import type { HeldVolume, QubesSystem, VolumeImage } from '../qubes/system.ts';
import { keyOf, originOf } from './volume-identity.ts';

/** How a backup finds out what changed in volumes since earlier ones. */
export interface KnownChanges {
  readonly tracking: ChangeTracking;
  /** The id of the backup with the last map of a volume; undefined: there is none to continue from. */
  readonly since: (origin: string) => string | undefined;
}

/** A volume that is backed up, and which ranges of it have to be read. */
export interface VolumeSource extends Omit<VolumeImage, 'extents'> {
  /** Where there may be data. */
  readonly extents: readonly Extent[];
  /** See `VolumeContent`. */
  readonly changed: readonly Extent[] | undefined;
  readonly check: CheckOfChanges | undefined;
  /** To be called when the volume has been backed up. */
  keep(): void;
}

/** A volume that is to be backed up as it was when it was held: see `HeldVolume`. */
export interface HeldSource extends AsyncDisposable {
  /** Opens it, once; it must be closed before this. Throws FailedError, naming the volume, if it cannot be read. */
  open(signal: AbortSignal): Promise<VolumeSource>;
}

/** Holds a volume for a backup. Throws FailedError, naming it, if it cannot be read. */
export async function holdVolumeSource(
  system: QubesSystem,
  qube: Qube,
  volume: Volume,
  known: KnownChanges | undefined,
  signal: AbortSignal,
): Promise<HeldSource> {
  if (known === undefined) {
    const held = await system.holdVolume(qube, volume, signal);
    return {
      open: async (signal) => ({ ...sourceOf(await held.open(signal)), keep: () => undefined }),
      [Symbol.asyncDispose]: () => held[Symbol.asyncDispose](),
    };
  }
  const origin = originOf(qube, volume);
  const tracked = { qube, volume, key: keyOf(origin), since: known.since(origin) };
  const held = await known.tracking.hold(tracked, signal);
  return {
    open: async (signal) => {
      const opened = await held.open(signal);
      if (opened.image !== undefined) return changedSource(opened, opened.image);
      return untouchedSource(opened, () => system.holdVolume(qube, volume, signal), signal);
    },
    [Symbol.asyncDispose]: () => held[Symbol.asyncDispose](),
  };
}

function changedSource(opened: OpenedChanges, image: VolumeImage): VolumeSource {
  return {
    ...sourceOf(image),
    ...(opened.changes.kind === 'ranges'
      ? {
          changed: opened.changes.ranges,
          check: { sampleOf: (unchanged) => sampleOf(unchanged), wrong: () => opened.distrust() },
        }
      : {}),
    keep: () => opened.keep(),
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  };
}

function sourceOf(image: VolumeImage): Omit<VolumeSource, 'keep'> {
  return {
    ...{ size: image.size, extents: image.extents, changed: undefined, check: undefined },
    read: (buffer, offset) => image.read(buffer, offset),
    requireUnchanged: () => image.requireUnchanged(),
    [Symbol.asyncDispose]: () => image[Symbol.asyncDispose](),
  };
}

/** A volume that has not been written to is opened only if it is read after all: if its data in the series is lost. */
function untouchedSource(
  opened: OpenedChanges,
  hold: () => Promise<HeldVolume>,
  signal: AbortSignal,
): VolumeSource {
  let held: HeldVolume | undefined;
  const open = async (): Promise<VolumeImage> => {
    held = await hold();
    const image = await held.open(signal);
    try {
      await opened.requireUntouched();
    } catch (error) {
      await image[Symbol.asyncDispose]();
      throw error;
    }
    return image;
  };
  let image: Promise<VolumeImage> | undefined;
  return {
    size: opened.size,
    extents: opened.size === 0 ? [] : [{ offset: 0, length: opened.size }],
    changed: [],
    check: undefined,
    read: async (buffer, offset) => (await (image ??= open())).read(buffer, offset),
    requireUnchanged: async () => (await image)?.requireUnchanged(),
    keep: () => opened.keep(),
    async [Symbol.asyncDispose]() {
      const [read] = await Promise.allSettled([image]);
      try {
        if (read.status === 'fulfilled') await read.value?.[Symbol.asyncDispose]();
      } finally {
        try {
          await held?.[Symbol.asyncDispose]();
        } finally {
          await opened[Symbol.asyncDispose]();
        }
      }
    },
  };
}
