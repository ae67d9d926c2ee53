import type { Extent } from '../../../shared/sparse-data.ts';
import type { Qube, Volume } from '../qube.ts';
import type { VolumeImage } from '../system.ts';

/** What of a volume may differ from what it was at an earlier backup. */
export type Changes =
  /** Nothing: it was not written to since, and is not opened. */
  | { readonly kind: 'nothing' }
  /** These bytes: ascending, neither touching nor overlapping, within the volume. Some may be as they were. */
  | { readonly kind: 'ranges'; readonly ranges: readonly Extent[] }
  /** Anything: nothing is known about it, or what is known is not relied on this time; `why` says so. */
  | { readonly kind: 'everything'; readonly why: string };

/** A volume that a backup takes. */
export interface TrackedVolume {
  readonly qube: Qube;
  readonly volume: Volume;
  /** A name of its own within the series, the same in each backup: `[A-Za-z0-9._-]`, at most 120 characters. */
  readonly key: string;
  /** The id of the backup that its content is compared with; undefined: of none. */
  readonly since: string | undefined;
}

/** What tracking changes needs to know of a backup. Ids are of the form `[A-Za-z0-9-]`, at most 64 characters. */
export interface TrackingOptions {
  /**
   * Where it is noted what the volumes were like at the last backup: a directory for this series alone, which only
   * coffer's user may read. Made when it is missing. At most one process uses it at a time.
   */
  readonly directory: string;
  readonly series: string;
  /** The id of the backup that is being made. */
  readonly backup: string;
  /** Is told, in a sentence, what the user has to know. */
  readonly warn: (text: string) => void;
  /** Default: the clock of this machine. */
  readonly now?: Date | undefined;
}

/**
 * What changed in volumes since earlier backups, and their content, for one backup. Several may be held and opened at
 * once. Disposing of it forgets everything that `commit` has not made last.
 */
export interface ChangeTracking extends AsyncDisposable {
  /** Throws FailedError, naming the volume, when it cannot be read. */
  hold(tracked: TrackedVolume, signal: AbortSignal): Promise<HeldChanges>;
  /**
   * To be called once the backup is stored, and what else dom0 notes of it: makes that last what `keep` was called
   * for, so that the next backup can be compared with this one. Throws FailedError.
   */
  commit(): Promise<void>;
}

/** A volume that is held for a backup: see `HeldVolume`. Disposing of it removes its snapshot. */
export interface HeldChanges extends AsyncDisposable {
  /**
   * Finds out what changed, and opens it, once; it is closed before this is disposed of. Throws FailedError, naming the
   * volume, when it cannot be read.
   */
  open(signal: AbortSignal): Promise<OpenedChanges>;
}

/** A volume that was opened for a backup. */
export interface OpenedChanges extends AsyncDisposable {
  readonly changes: Changes;
  /** In bytes. */
  readonly size: number;
  /** Its whole content, which is disposed of with this; undefined where nothing changed. */
  readonly image: VolumeImage | undefined;
  /**
   * Where nothing changed and it was opened by others all the same: throws FailedError, naming the volume, when it has
   * been written to since it was held.
   */
  requireUntouched(): Promise<void>;
  /** To be called when the volume has been backed up, or is as it was: without it, there is no record of it. */
  keep(): void;
  /**
   * To be called when bytes outside the ranges were found to have changed: these ranges are wrong, and so may be all
   * that come from the same pool. From now on all volumes in it are compared as a whole; the user is warned. Throws
   * FailedError.
   */
  distrust(): Promise<void>;
}
