import type { Extent } from '../../../shared/sparse-data.ts';
import type { Qube, Volume } from '../qube.ts';
import type { VolumeImage } from '../system.ts';

/** Which bytes of a volume may have changed since an earlier backup. */
export type Changes =
  /** None: it has not been written to, and is not opened. */
  | { readonly kind: 'nothing' }
  /** These: ascending, neither touching nor overlapping, within the volume. Some of them may be unchanged. */
  | { readonly kind: 'ranges'; readonly ranges: readonly Extent[] }
  /** Any: nothing is known about it, or what is known is not relied on this time; `why` says so. */
  | { readonly kind: 'everything'; readonly why: string };

/** A volume to be backed up. */
export interface TrackedVolume {
  readonly qube: Qube;
  readonly volume: Volume;
  /** Unique in the series, and the same in each backup: `[A-Za-z0-9._-]`, at most 120 characters. */
  readonly key: string;
  /** The id of the backup with which its content is compared; undefined: none. */
  readonly since: string | undefined;
}

/** What tracking changes needs to know about a backup. Ids are of the form `[A-Za-z0-9-]`, at most 64 characters. */
export interface TrackingOptions {
  /**
   * The directory with the notes about what the volumes were like at the last backup: for this series alone, and
   * readable only by coffer's user. Created if it is missing. At most one process uses it at a time.
   */
  readonly directory: string;
  readonly series: string;
  /** The id of the backup that is being made. */
  readonly backup: string;
  /** Called with a sentence for the user. */
  readonly warn: (text: string) => void;
  /**
   * The keys of all volumes that exist: what is recorded about others is removed, and so is what it needs in the pools.
   * Default: nothing is.
   */
  readonly existing?: ReadonlySet<string> | undefined;
  /** Default: the clock of this machine. */
  readonly now?: Date | undefined;
}

/**
 * What changed in volumes since earlier backups, and their content, for one backup. Several volumes may be held and
 * opened at a time. Disposing of it discards everything that was not committed.
 */
export interface ChangeTracking extends AsyncDisposable {
  /** Throws FailedError, naming the volume, if it cannot be read. */
  hold(tracked: TrackedVolume, signal: AbortSignal): Promise<HeldChanges>;
  /**
   * To be called once the backup is stored, and dom0 has recorded it: stores the notes about the volumes for which
   * `keep` was called, so that the next backup can be compared with this one. Throws FailedError.
   */
  commit(): Promise<void>;
}

/** A volume that is held for a backup: see `HeldVolume`. Disposing of it removes its snapshot. */
export interface HeldChanges extends AsyncDisposable {
  /**
   * Finds out what changed, and opens the volume. To be called once; the caller closes it before it disposes of this.
   * Throws FailedError, naming the volume, if it cannot be read.
   */
  open(signal: AbortSignal): Promise<OpenedChanges>;
}

/** A volume that was opened for a backup. */
export interface OpenedChanges extends AsyncDisposable {
  readonly changes: Changes;
  /** In bytes. */
  readonly size: number;
  /** Its whole content, which is disposed of with this; undefined if nothing changed. */
  readonly image: VolumeImage | undefined;
  /**
   * For a volume that has not changed, but was opened in another way nevertheless: throws FailedError, naming the
   * volume, if it has been written to since it was held.
   */
  requireUntouched(): Promise<void>;
  /** To be called when the volume has been backed up, or has not changed: otherwise nothing is recorded about it. */
  keep(): void;
  /**
   * To be called when bytes outside the ranges were found to have changed: then the ranges are wrong, and so may be all
   * others from the same pool. From now on all volumes in it are compared as a whole; the user is warned. Throws
   * FailedError.
   */
  distrust(): Promise<void>;
}
