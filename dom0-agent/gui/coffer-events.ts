import type { Event } from '../cli/events.ts';

export type { Event } from '../cli/events.ts';
export type ErrorEvent = Extract<Event, { event: 'error' }>;
export type ResultEvent = Extract<Event, { event: 'result' }>;
export type PlanEvent = Extract<Event, { event: 'plan' }>;
export type QubeEvent = Extract<Event, { event: 'qube' }>;
export type ProgressEvent = Extract<Event, { event: 'progress' }>;

/** The fields of the result of `coffer status` that windows read: docs/json.md. */
export interface StatusResult extends ResultEvent {
  readonly due: number;
  readonly qubes: readonly StatusOfQube[];
  readonly excluded: readonly QubeHere[];
  /** The kernels in dom0 that VMs can boot; null if that is not known. */
  readonly kernels: readonly string[] | null;
  /** The series that dom0 knows. */
  readonly series: readonly { readonly location: string; readonly created: string | null }[];
  readonly warnings: readonly string[];
}

/** A VM of this system. */
export interface QubeHere {
  readonly name: string;
  readonly class: string;
  readonly label: string;
  readonly running: boolean;
  readonly size: number | null;
  readonly used: number | null;
  /** Whether disposables can be based on it. */
  readonly forDisposables: boolean;
  /** Whether it can be a net qube. */
  readonly providesNetwork: boolean;
  readonly sinceLast: SinceLast;
}

/** Whether its volumes have changed since its last backup; null: unknown. */
export type SinceLast = 'changed' | 'unchanged' | null;

export interface StatusOfQube extends QubeHere {
  readonly state: 'backed up' | 'due' | 'never' | 'damaged';
  readonly created: string | null;
  readonly location: string | null;
  readonly check: Check | null;
}

/** When a backup was last checked, and the result. */
export interface Check {
  readonly at: string;
  readonly result: 'verified' | 'damaged';
}

/** The fields of the result of `coffer devices` that windows read. */
export interface DevicesResult extends ResultEvent {
  readonly mounted: readonly MountedDevice[];
  readonly offered: readonly OfferedDevice[];
  readonly places: readonly PlaceHere[];
}

/** A removable device in dom0. */
export interface MountedDevice {
  readonly device: string;
  readonly mountPoint: string;
  readonly label: string | null;
  readonly free: number | null;
}

/** A block device of a VM. */
export interface OfferedDevice {
  readonly backend: string;
  readonly port: string;
  readonly description: string;
  readonly size: number | null;
  /** The VM that it is attached to; null if it is not attached. */
  readonly attachedTo: string | null;
}

/** A VM in which a backup can be stored. */
export interface PlaceHere {
  readonly name: string;
  readonly class: string;
  readonly running: boolean;
}

/** Files of dom0's configuration in a backup. */
export interface Dom0Paths {
  readonly paths: readonly string[];
  readonly used: number;
}

/** The fields of the plan of `coffer backup` that windows read. */
export interface BackupPlan extends PlanEvent {
  readonly vm: string;
  readonly location: string;
  readonly freeBytes: number | null;
  readonly startsVm: boolean;
  readonly leastBytes: number;
  readonly mostBytes: number;
  /** Bytes to read, at most: all but what is known to be unchanged. */
  readonly mostRead: number;
  /** How long as much takes, at the speed of an earlier backup; null if that is not known. */
  readonly mostSeconds: number | null;
  /** How much work the last backup of the series was; null if that is not known. */
  readonly lastEffort: {
    readonly seconds: number;
    readonly read: number;
    readonly new: number;
  } | null;
  readonly qubes: readonly {
    readonly name: string;
    readonly running: boolean;
    readonly used: number;
    readonly sinceLast: SinceLast;
    /** How many of its bytes have changed; null if only reading can tell. */
    readonly changed: number | null;
  }[];
  readonly dom0Home: { readonly used: number } | null;
  readonly dom0Paths: Dom0Paths | null;
  readonly leftOut: readonly { readonly name: string; readonly why: string }[];
  /** The backups there that it continues from. */
  readonly series: {
    readonly file: string;
    readonly backups: number;
    readonly last: string;
    /** How many bytes an interrupted backup has sent. */
    readonly sentBytes: number;
  } | null;
  /** Backups there that dom0 does not know. */
  readonly unknown: { readonly backups: number; readonly last: string } | null;
}

/** The fields of the result of `coffer backup` that windows read. */
export interface BackupResult extends ResultEvent {
  readonly vm: string;
  readonly location: string;
  readonly path: string | null;
  readonly bytes: number;
  readonly dataFiles: readonly { readonly bytes: number }[];
  readonly checked: boolean;
  /** A line to keep with the passphrase; null if the backup is in no series. */
  readonly card: string | null;
  readonly changedVms: number | null;
  readonly newBytes: number | null;
  readonly knownBytes: number | null;
  readonly qubes: readonly {
    readonly name: string;
    readonly result: 'stored' | 'failed';
    readonly failure: string | null;
  }[];
  readonly warnings: readonly string[];
}

/** A backup in a directory, in the result of `coffer list`. */
export interface FoundBackup {
  readonly name: string;
  readonly created: string | null;
  readonly kind: 'backup' | 'data' | 'pack' | 'unfinished';
  readonly storedBytes: number;
  readonly qubes: readonly string[] | null;
  readonly dom0Home: boolean | null;
  readonly check: Check | null;
  readonly lost: readonly string[];
  readonly problem: string | null;
}

/** The fields of the result of `coffer list` of a directory that windows read. */
export interface BackupsInDirectory extends ResultEvent {
  /** `sys-usb:/home/user/backups` */
  readonly location: string;
  readonly freeBytes: number | null;
  readonly directories: readonly string[];
  readonly backups: readonly FoundBackup[];
  readonly warnings: readonly string[];
}

/** The fields of the result of `coffer adopt` that windows read. */
export interface AdoptResult extends ResultEvent {
  readonly warnings: readonly string[];
}

/** The fields of the result of `coffer list` of a backup that windows read. */
export interface BackupContents extends ResultEvent {
  readonly created: string | null;
  readonly qubes: readonly ContainedQube[];
  readonly dom0Home: { readonly used: number } | null;
  readonly dom0Paths: Dom0Paths | null;
  readonly unusable: readonly { readonly name: string; readonly why: string }[];
}

/** A VM in a backup. */
export interface ContainedQube {
  readonly name: string;
  readonly class: string;
  readonly label: string;
  /** Its template; null if it has none. */
  readonly template: string | null;
  /** The names in its properties (such as `netvm`): of other VMs, and of its kernel. */
  readonly references: readonly { readonly property: string; readonly name: string }[];
  readonly used: number;
  /** What will be different when it is restored. */
  readonly remarks: readonly string[];
}

/** The fields of the plan of `coffer restore` that windows read. */
export interface RestorePlan extends PlanEvent {
  readonly qubes: readonly {
    readonly name: string;
    readonly restoredAs: string;
    readonly used: number;
    readonly remarks: readonly string[];
  }[];
  readonly dom0Home: { readonly used: number } | null;
  readonly dom0Paths: Dom0Paths | null;
  readonly leftOut: readonly { readonly name: string; readonly why: string }[];
}

/** The fields of the results of `coffer restore` and `coffer verify` that windows read; the latter has no advice. */
export interface RestoreResult extends ResultEvent {
  readonly advice?: string | null;
  readonly qubes: readonly {
    readonly name: string;
    readonly result:
      | 'restored'
      | 'restored in part'
      | 'failed'
      | 'left out'
      | 'verified'
      | 'damaged'
      | 'incomplete'
      | 'not verified';
    readonly remarks: readonly string[];
  }[];
  readonly warnings: readonly string[];
}

/** The fields of the plan of `coffer verify` that windows read. */
export interface VerifyPlan extends PlanEvent {
  readonly qubes: readonly { readonly name: string }[];
}

/** The fields of the result of `coffer profiles` that windows read. */
export interface ProfilesResult extends ResultEvent {
  readonly profiles: readonly SavedProfile[];
}

/** A profile. If it cannot be used, all fields except its name and file are null. */
export interface SavedProfile {
  readonly name: string;
  readonly file: string;
  readonly vm: string | null;
  readonly location: string | null;
  readonly isCommand: boolean | null;
  readonly through: string | null;
  readonly encrypt: boolean | null;
  readonly compressFilter: string | null;
  readonly qubes: readonly string[] | null;
}

/** The fields of the plan and the result of `coffer prune` that windows read. */
export interface PruneEffect {
  readonly backups: readonly {
    readonly name: string;
    readonly created: string;
    readonly keptBy: readonly string[];
  }[];
  readonly bytesDeleted: number;
  readonly bytesCopied: number;
}
export type PrunePlan = PlanEvent & PruneEffect;
export type PruneResult = ResultEvent & PruneEffect & { readonly warnings: readonly string[] };
