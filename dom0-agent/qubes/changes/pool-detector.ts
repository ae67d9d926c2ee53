import type { Extent } from '../../../shared/sparse-data.ts';
import type { OpenedVolume, PlacedVolume, VolumeDriver } from '../pools/pool-driver.ts';
import type { Note } from './notes.ts';

/** A volume's committed content, which does not change until this is disposed of. */
export interface Capture extends AsyncDisposable {
  readonly opened: OpenedVolume;
  /**
   * Finds out what changed in it. To be called when it is about to be read.
   *
   * @param before what this detector recorded about the content to compare with; undefined: there is nothing to compare
   *   with
   */
  compare(before: Note | undefined, signal: AbortSignal): Promise<Comparison>;
}

/** What a detector has found out about captured content. */
export interface Comparison {
  /** See `PoolDetector.identityOf`. */
  readonly identity: string | undefined;
  /** What may have changed since the earlier backup, or why that is not known. */
  readonly changed: readonly Extent[] | string;
  /** Where there is data, if the pool reports that; the rest reads as zeros. */
  readonly extents: readonly Extent[] | undefined;
  /** What must be recorded to compare the next backup with this content; undefined: that will not be possible. */
  readonly note: Note | undefined;
}

/** What a detector is asked to capture. */
export interface ToCapture {
  readonly placed: PlacedVolume;
  /** See `TrackedVolume.key`. */
  readonly key: string;
  /** The id of the backup that is being made. */
  readonly backup: string;
}

/**
 * Captures the volumes of one storage pool, and finds out what changed in them, for one backup. If the backup was not
 * stored, disposing of it removes what it left in the pool.
 */
export interface PoolDetector extends AsyncDisposable {
  /**
   * Identifies the volume's committed content without reading it: as long as it is equal, the volume has not been
   * written to. Undefined if the pool cannot tell.
   */
  identityOf(placed: PlacedVolume): Promise<string | undefined>;
  /** See `VolumeDriver.holds`; here for what is captured. */
  holds(placed: PlacedVolume): boolean;
  /** Throws FailedError, naming the volume, when it cannot be read. */
  capture(volume: ToCapture): Promise<Capture>;
  /** Called before the notes of this backup are stored: creates what they need in the pool. Throws FailedError. */
  seal(): Promise<void>;
  /** Called once they are stored: removes from the pool what no note of this series refers to any more. */
  tidy(notes: readonly Note[]): Promise<void>;
}

/** Opens a volume and captures it; if that fails, the volume is closed again. */
export async function captureOpened(
  driver: VolumeDriver,
  placed: PlacedVolume,
  capture: (opened: OpenedVolume) => Promise<Capture>,
): Promise<Capture> {
  const opened = await driver.open(placed);
  try {
    return await capture(opened);
  } catch (error) {
    await opened[Symbol.asyncDispose]();
    throw error;
  }
}
