import type { Extent } from '../../shared/sparse-data.ts';
import type { CheckOfChanges } from '../archive/content.ts';
import { sampleOf } from '../qubes/changes/sample.ts';
import type { ChangeTracking, OpenedChanges } from '../qubes/changes/volume-changes.ts';
import type { Qube, Volume } from '../qubes/qube.ts';
import type { QubesSystem, VolumeImage } from '../qubes/system.ts';
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

/** Opens a volume for a backup. Throws FailedError, naming it, when it cannot be read. */
export async function openVolumeSource(
  system: QubesSystem,
  qube: Qube,
  volume: Volume,
  known: KnownChanges | undefined,
  signal: AbortSignal,
): Promise<VolumeSource> {
  if (known === undefined) {
    const image = await system.openVolume(qube, volume, signal);
    return { ...sourceOf(image), keep: () => undefined };
  }
  const origin = originOf(qube, volume);
  const tracked = { qube, volume, key: keyOf(origin), since: known.since(origin) };
  const opened = await known.tracking.open(tracked, signal);
  if (opened.image === undefined) {
    return untouched(opened, () => system.openVolume(qube, volume, signal));
  }
  return {
    ...sourceOf(opened.image),
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

/** A volume that has not been written to is only opened if what the last backup stored of it is lost. */
function untouched(opened: OpenedChanges, open: () => Promise<VolumeImage>): VolumeSource {
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
      if (read.status === 'fulfilled') await read.value?.[Symbol.asyncDispose]();
      await opened[Symbol.asyncDispose]();
    },
  };
}
