/** The classes of VM that can be backed up. */
export const QUBE_CLASSES = ['AdminVM', 'TemplateVM', 'StandaloneVM', 'AppVM', 'DispVM'] as const;
export type QubeClass = (typeof QUBE_CLASSES)[number];

/** The label of a VM whose own is unknown, or does not exist on the system. */
export const FALLBACK_LABEL = 'red';

export function isQubeClass(className: string): className is QubeClass {
  return QUBE_CLASSES.some((known) => known === className);
}

/** What a VM of another class is, for messages. */
export function whatItIs({ className }: { readonly className: string }): string {
  return className === 'RemoteVM'
    ? 'it is a RemoteVM, which lives on another machine'
    : `it is of the class ${className}, which coffer does not know`;
}

/** One of a VM's volumes, as in `admin.vm.volume.Info`. */
export interface Volume {
  readonly name: string;
  /** Apparent size in bytes. */
  readonly size: number;
  /** How many bytes are in use, if known: an estimate for tables and progress. */
  readonly usage: number | undefined;
  readonly pool: string;
  readonly vid: string;
  /** Whether the volume is kept when the VM stops: only these belong in a backup. */
  readonly saveOnStop: boolean;
  /** How many old revisions the pool keeps; see `hasNoSavedState` for -1. Undefined: unknown. */
  readonly revisionsToKeep?: number | undefined;
  /** Whether it is encrypted with a key that is discarded when the VM stops. Undefined: unknown. */
  readonly ephemeral?: boolean | undefined;
}

/** A device that a VM is given when it starts, or asks for. */
export interface DeviceAssignment {
  readonly deviceClass: string;
  readonly backend: string;
  readonly port: string;
  /** All other fields as qubesd serialises them: `device_id`, `mode`, `_option name`, … */
  readonly fields: ReadonlyMap<string, string>;
}

/** A firewall rule: `action`, `dst4`, `dsthost`, `proto`, `dstports`, … in order. */
export type FirewallRule = ReadonlyMap<string, string>;

/** A VM and everything about it that a restore needs, except its volumes' contents. */
export interface Qube {
  readonly name: string;
  readonly qubeClass: QubeClass;
  readonly qid: number;
  /** Stays the same when the VM is renamed; undefined if the system has none. */
  readonly uuid: string | undefined;
  readonly label: string;
  /**
   * What was set by hand, including `template` and `netvm`; never `name`, `qid`, `uuid`, `label`. A VM-valued property
   * set to "none" is the empty string.
   */
  readonly properties: ReadonlyMap<string, string>;
  readonly features: ReadonlyMap<string, string>;
  readonly tags: ReadonlySet<string>;
  readonly devices: readonly DeviceAssignment[];
  readonly volumes: readonly Volume[];
}

/** The text if it is a UUID; undefined for anything else, which must not be taken for one. */
export function uuidOf(text: string | undefined): string | undefined {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.exec(text ?? '')?.[0];
}

/** A volume as messages name it: `the volume private of work`. */
export function volumeLabel(qubeName: string, volume: string): string {
  return `the volume ${volume} of ${qubeName}`;
}

/** The volumes of a VM that belong in a backup. */
export function savedVolumes(qube: Qube): Volume[] {
  return qube.volumes.filter((volume) => volume.saveOnStop);
}

/**
 * Whether a running VM writes to the volume in place, rather than to a copy that is committed when it
 * stops: then there is no separate saved state (`snapshots_disabled` of qubes/storage).
 */
export function hasNoSavedState({ saveOnStop, revisionsToKeep }: Volume): boolean {
  return saveOnStop && revisionsToKeep === -1;
}

/** Why a volume cannot be read while its VM runs; undefined when it has a saved state. */
export function whyUnsaved(volume: Volume): string | undefined {
  if (!hasNoSavedState(volume)) return undefined;
  return `its volume ${volume.name} has no separate saved state (revisions_to_keep is -1)`;
}

/** The size of the volumes that belong in a backup, in bytes; undefined if an old backup does not say. */
export function sizeOfVolumes(qube: Qube): number | undefined {
  const sizes = savedVolumes(qube).map(({ size }) => size);
  return sizes.some((size) => size === 0) ? undefined : sizes.reduce((sum, size) => sum + size, 0);
}

/** Qubes' rule for names (qubes.vm.validate_name in qubes-core-admin). */
export function isValidQubeName(name: string): boolean {
  return (
    name.length <= 31 &&
    /^[a-zA-Z][a-zA-Z0-9_.-]*$/.test(name) &&
    !name.endsWith('-dm') &&
    !['none', 'default', 'Domain-0'].includes(name)
  );
}

/**
 * Features in which qubesd keeps transient state: they mean nothing later, and setting them is refused, or
 * believed (PROHIBITED_FEATURES in qubes/ext/admin.py of qubes-core-admin).
 */
const STATE_FEATURES = new Set([
  'deferred-netvm-original',
  'preload-dispvm',
  'preload-dispvm-completed',
  'preload-dispvm-in-progress',
]);

/** The features that are settings, and belong in a backup. */
export function settableFeatures(features: ReadonlyMap<string, string>): Map<string, string> {
  return new Map([...features].filter(([feature]) => !STATE_FEATURES.has(feature)));
}

/** Whether qubesd itself set a tag: who created the VM, and which VMs handle its windows and audio. */
export function isTagOfQubesd(tag: string): boolean {
  return /^(created-by|guivm|audiovm)-/.test(tag);
}

/**
 * Whether a tag gives a VM a role in a running restore: Qubes' policy lets VMs with `backup-restore-mgmt`
 * change the VMs with `backup-restore-in-progress`
 * (85-admin-backup-restore.policy of qubes-core-admin).
 */
export function isTagOfRestore(tag: string): boolean {
  return tag.startsWith('backup-restore-');
}

/** Qubes' limit for a VM's name, in characters. */
const LONGEST_NAME = 31;
const MOST_TRIES = 1000;

/** A name like `wanted` that is not taken: `work-1`, `work-2` … Undefined if there is none. */
export function freeName(wanted: string, taken: ReadonlySet<string>): string | undefined {
  for (let number = 1; number < MOST_TRIES; number++) {
    const suffix = `-${number}`;
    const name = wanted.slice(0, LONGEST_NAME - suffix.length) + suffix;
    if (!taken.has(name) && isValidQubeName(name)) return name;
  }
  return undefined;
}
