import { FailedError } from '../../shared/errors.ts';
import type { Extent, DataPiece } from '../../shared/sparse-data.ts';
import type { DeviceAssignment, FirewallRule, Qube, QubeClass, Volume } from './qube.ts';

/** The content of a volume, held still while it is open (a snapshot where the pool can). */
export interface VolumeImage extends AsyncDisposable {
  /** Apparent size in bytes. */
  readonly size: number;
  /** Where there is data, ascending, neither touching nor overlapping; the rest reads as zeros. */
  readonly extents: readonly Extent[];
  /** Fills `buffer` from `offset` on. Throws FailedError, naming the volume, when it cannot. */
  read(buffer: Buffer, offset: number): Promise<void>;
  /**
   * To be asked once all was read. Throws FailedError, naming the volume, when its content may have
   * changed since it was opened.
   */
  requireUnchanged(): Promise<void>;
}

/** What `create` needs to know of a new VM. */
export interface NewQube {
  readonly name: string;
  readonly qubeClass: Exclude<QubeClass, 'AdminVM'>;
  readonly label: string;
  /** For an AppVM and a DispVM. */
  readonly template: string | undefined;
  /** Where its volumes go; undefined: the system's default. */
  readonly pool: string | undefined;
  /** What it has from the start; of tags and features, the tags come first. */
  readonly tags?: ReadonlySet<string>;
  readonly features?: ReadonlyMap<string, string>;
  readonly properties?: ReadonlyMap<string, string>;
}

/** A VM as a list shows it, also one of a class that no backup holds: see `QUBE_CLASSES`. */
export interface ListedQube {
  readonly name: string;
  readonly className: string;
  /** Whether it is anything but halted. */
  readonly isRunning: boolean;
}

/** What the system falls back on where a VM sets nothing; undefined where there is none. */
export interface SystemDefaults {
  readonly template: string | undefined;
  readonly netvm: string | undefined;
  readonly dispvm: string | undefined;
}

/** A storage pool that can take the volumes of VMs. */
export interface Pool {
  readonly name: string;
  /** Bytes; undefined where the pool does not tell. */
  readonly free: number | undefined;
  /** Whether volumes go there when nobody says otherwise. */
  readonly isDefault: boolean;
}

/** What of a volume is set by hand, beside its size. */
export interface VolumeSettings {
  /** How many former contents the pool keeps; -1: none, and the VM works on the content itself. */
  readonly revisionsToKeep?: number | undefined;
  /** Whether it is encrypted with a key that is gone after the run. */
  readonly ephemeral?: boolean | undefined;
}

/** dom0's user and their home directory. */
export interface Dom0Home {
  readonly user: string;
  readonly path: string;
}

/**
 * What coffer needs of a Qubes system. Two implementations: `qubesd` (the Admin API) and `folder`
 * (a directory that plays a Qubes system). Every method throws a FailedError or RefusedError
 * that names the VM.
 */
export interface QubesSystem {
  /** For messages: `the Qubes system of this machine`, `the folder system /tmp/box`. */
  readonly description: string;
  /** A path that this system has and no other: qubesd's socket, the directory of a folder system. */
  readonly place: string;

  /** Every VM of every class, by name: quicker than `qubes`. */
  list(): Promise<ListedQube[]>;
  /** Every VM that a backup can hold, dom0 first. */
  qubes(): Promise<Qube[]>;
  labels(): Promise<string[]>;
  defaults(): Promise<SystemDefaults>;
  dom0Home(): Promise<Dom0Home>;
  pools(): Promise<Pool[]>;
  isRunning(name: string): Promise<boolean>;
  /** The value of a feature as it is at this moment; undefined when the VM has it not. */
  feature(name: string, feature: string): Promise<string | undefined>;
  /** The tags of a VM as they are at this moment. */
  tags(name: string): Promise<ReadonlySet<string>>;
  firewall(name: string): Promise<FirewallRule[] | undefined>;
  notes(name: string): Promise<string>;
  /**
   * Why a volume cannot be read as it was last saved, in words; undefined when it can. For a plan: nothing is
   * read.
   *
   * @param isRunning whether its VM runs
   */
  whyUnreadable(volume: Volume, isRunning: boolean): Promise<string | undefined>;
  openVolume(qube: Qube, volume: Volume, signal: AbortSignal): Promise<VolumeImage>;
  setBackupTimestamp(name: string, unixTime: number): Promise<void>;

  create(qube: NewQube): Promise<void>;
  /** Undoes `create`, volumes and all. */
  remove(name: string): Promise<void>;
  setProperty(name: string, property: string, value: string): Promise<void>;
  /** Back to the default, which may be another on each system. */
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
   * Replaces a volume's content: `size` bytes, of which `pieces` gives those that are not zero. All
   * or nothing: when `pieces` throws, or the signal fires, the volume keeps its old content.
   */
  importVolume(
    name: string,
    volume: string,
    size: number,
    pieces: AsyncIterable<DataPiece>,
    signal: AbortSignal,
  ): Promise<void>;
}

/** The Qubes system does not answer any more: not one call is refused, but none can be made. */
export class SystemGoneError extends FailedError {}
