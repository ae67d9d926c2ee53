import type { Extent } from '../../../shared/sparse-data.ts';
import type { OpenedVolume, PlacedVolume, VolumeDriver } from '../pools/pool-driver.ts';
import type { Note } from './notes.ts';

/** A volume's committed content, held fast. */
export interface Capture extends AsyncDisposable {
  readonly opened: OpenedVolume;
  /**
   * Finds out what changed in it, when it is to be read.
   *
   * @param before what this detector noted of the content that is compared with; undefined: there is none to compare with
   */
  compare(before: Note | undefined, signal: AbortSignal): Promise<Comparison>;
}

/** What a detector found out about content that was captured. */
export interface Comparison {
  /** See `PoolDetector.identityOf`. */
  readonly identity: string | undefined;
  /** What may differ from the earlier backup; or why that is not known. */
  readonly changed: readonly Extent[] | string;
  /** Where there is data, where the pool says; the rest reads as zeros. */
  readonly extents: readonly Extent[] | undefined;
  /** What has to be noted to compare the next backup with this content; undefined: that will not be possible. */
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
 * How the volumes of one storage pool are held fast, and what changed in them is found out, for one backup. Disposing
 * of it removes what a backup that was not stored leaves in the pool.
 */
export interface PoolDetector extends AsyncDisposable {
  /**
   * What tells the volume's committed content from any other without reading it: equal, it has not been written to.
   * Undefined where the pool cannot tell.
   */
  identityOf(placed: PlacedVolume): Promise<string | undefined>;
  /** See `VolumeDriver.holds`: of what is captured. */
  holds(placed: PlacedVolume): boolean;
  /** Throws FailedError, naming the volume, when it cannot be read. */
  capture(volume: ToCapture): Promise<Capture>;
  /** Before what was noted lasts: what is needed in the pool for it. Throws FailedError. */
  seal(): Promise<void>;
  /** Once what was noted lasts: removes what none of this series' notes refers to any more. */
  tidy(notes: readonly Note[]): Promise<void>;
}

/** Opens a volume to capture it; when that fails, the volume is closed again. */
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
