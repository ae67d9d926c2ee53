import { FailedError } from '../../shared/errors.ts';
import type { ChangeTracking, TrackingOptions } from './changes/volume-changes.ts';
import type { WasWritten } from './changes/was-written.ts';
import type { Extent, DataPiece } from '../../shared/sparse-data.ts';
import type { DeviceAssignment, FirewallRule, Qube, QubeClass, Volume } from './qube.ts';

/** The content of a volume, which does not change while it is open (a snapshot where the pool can). */
export interface VolumeImage extends AsyncDisposable {
  /** Apparent size in bytes. */
  readonly size: number;
  /** Where there is data, ascending, neither touching nor overlapping; the rest reads as zeros. */
  readonly extents: readonly Extent[];
  /** Fills `buffer` from `offset` on. Throws FailedError, naming the volume, when it cannot. */
  read(buffer: Buffer, offset: number): Promise<void>;
  /**
   * To be called after the last read. Throws FailedError, naming the volume, when its content may have
   * changed since it was opened.
   */
  requireUnchanged(): Promise<void>;
}

/**
 * A volume that will be read as it was when it was held, whatever its VM does meanwhile, if its pool can do that. If
 * not, reading it fails if it has changed.
 */
export interface HeldVolume extends AsyncDisposable {
  /**
   * Opens its content. To be called once; the caller closes the image before it disposes of this. Throws FailedError,
   * naming the volume, if it cannot be read.
   */
  open(signal: AbortSignal): Promise<VolumeImage>;
}

/** What `create` needs to know about a new VM. */
export interface NewQube {
  readonly name: string;
  readonly qubeClass: Exclude<QubeClass, 'AdminVM'>;
  readonly label: string;
  /** Of an AppVM or a DispVM. */
  readonly template: string | undefined;
  /** Where its volumes go; undefined: the system's default. */
  readonly pool: string | undefined;
  /** What it has from the start; tags are set before features. */
  readonly tags?: ReadonlySet<string>;
  readonly features?: ReadonlyMap<string, string>;
  readonly properties?: ReadonlyMap<string, string>;
}

/** A VM in a list, including those of classes that are never backed up: see `QUBE_CLASSES`. */
export interface ListedQube {
  readonly name: string;
  readonly className: string;
  /** Whether it is anything but halted. */
  readonly isRunning: boolean;
}

/** The system's defaults for what a VM does not set; undefined if there is none. */
export interface SystemDefaults {
  readonly template: string | undefined;
  readonly netvm: string | undefined;
  readonly dispvm: string | undefined;
}

/** A storage pool that can take the volumes of VMs. */
export interface Pool {
  readonly name: string;
  /** In bytes; undefined if the pool does not say. */
  readonly free: number | undefined;
  /** Whether new volumes go there by default. */
  readonly isDefault: boolean;
}

/** The settings of a volume, besides its size. */
export interface VolumeSettings {
  /** How many old revisions the pool keeps; -1: none, and the VM writes in place. */
  readonly revisionsToKeep?: number | undefined;
  /** Whether it is encrypted with a key that is discarded when the VM stops. */
  readonly ephemeral?: boolean | undefined;
}

/** dom0's user and their home directory. */
export interface Dom0Home {
  readonly user: string;
  readonly path: string;
}

/**
 * What coffer needs from a Qubes system. Two implementations: `qubesd` (the Admin API) and `folder`
 * (a directory that stands in for a Qubes system). Every method throws a FailedError or RefusedError
 * that names the VM.
 */
export interface QubesSystem {
  /** For messages: `the Qubes system of this machine`, `the folder system /tmp/box`. */
  readonly description: string;
  /** A path unique to this system: qubesd's socket, the directory of a folder system. */
  readonly place: string;

  /** Every VM of every class, by name: quicker than `qubes`. */
  list(): Promise<ListedQube[]>;
  /** Every VM that can be backed up, dom0 first. */
  qubes(): Promise<Qube[]>;
  /** The names of the labels. */
  labels(): Promise<string[]>;
  defaults(): Promise<SystemDefaults>;
  dom0Home(): Promise<Dom0Home>;
  pools(): Promise<Pool[]>;
  /** The kernels of dom0 that VMs can be started with; undefined if they are not known. */
  kernels(): Promise<string[] | undefined>;
  /** Whether a VM is anything but halted. */
  isRunning(name: string): Promise<boolean>;
  /** The current value of a feature; undefined when the VM does not have it. */
  feature(name: string, feature: string): Promise<string | undefined>;
  /** The current tags of a VM. */
  tags(name: string): Promise<ReadonlySet<string>>;
  /** Undefined if the VM has no firewall rules of its own. */
  firewall(name: string): Promise<FirewallRule[] | undefined>;
  /** Empty if there are none. */
  notes(name: string): Promise<string>;
  /**
   * Why the last saved state of a volume cannot be read; undefined if it can. For planning: nothing is read.
   *
   * @param isRunning whether its VM runs
   */
  whyUnreadable(volume: Volume, isRunning: boolean): Promise<string | undefined>;
  /**
   * Whether a halted VM has written something to a volume that is not in its saved state, as after a power failure. For
   * planning: false for a pool that cannot be read.
   */
  hasUncommitted(volume: Volume): Promise<boolean>;
  /** Holds a volume's last saved state. Throws FailedError, naming the volume. */
  holdVolume(qube: Qube, volume: Volume, signal: AbortSignal): Promise<HeldVolume>;
  /**
   * Tells what changed in volumes since earlier backups, and holds and opens them, for one backup. Throws FailedError.
   */
  trackChanges(options: TrackingOptions): Promise<ChangeTracking>;
  /** Tells before a backup whether volumes were written to since earlier ones; changes nothing. */
  wasWrittenSince(options: Pick<TrackingOptions, 'directory' | 'series'>): WasWritten;
  /** How many bytes pools use only for copies that coffer keeps in them: docs/changes.md. Throws FailedError. */
  spaceOfCopies(): Promise<number>;
  /**
   * Records the time of a backup on VMs. Returns the errors, by the names of the VMs on which it could not be recorded.
   */
  setBackupTimestamps(
    names: readonly string[],
    unixTime: number,
  ): Promise<ReadonlyMap<string, unknown>>;

  create(qube: NewQube): Promise<void>;
  /** Undoes `create`, volumes and all. */
  remove(name: string): Promise<void>;
  setProperty(name: string, property: string, value: string): Promise<void>;
  /** Sets a property back to its default, which may differ between systems. */
  resetProperty(name: string, property: string): Promise<void>;
  setFeature(name: string, feature: string, value: string): Promise<void>;
  removeFeature(name: string, feature: string): Promise<void>;
  setTag(name: string, tag: string): Promise<void>;
  removeTag(name: string, tag: string): Promise<void>;
  setVolume(name: string, volume: string, settings: VolumeSettings): Promise<void>;
  setFirewall(name: string, rules: readonly FirewallRule[]): Promise<void>;
  setNotes(name: string, notes: string): Promise<void>;
  assignDevice(name: string, device: DeviceAssignment): Promise<void>;
  /**
   * Replaces a volume's content: `size` bytes, of which `pieces` has those that are not zero. All or nothing: if
   * `pieces` throws, or the signal fires, the volume keeps its old content.
   */
  importVolume(
    name: string,
    volume: string,
    size: number,
    pieces: AsyncIterable<DataPiece>,
    signal: AbortSignal,
  ): Promise<void>;
}

/** The Qubes system no longer answers: no call can be made at all. */
export class SystemGoneError extends FailedError {}
