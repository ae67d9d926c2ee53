/** The classes of VM that a backup can hold. */
export const QUBE_CLASSES = ['AdminVM', 'TemplateVM', 'StandaloneVM', 'AppVM', 'DispVM'] as const;
export type QubeClass = (typeof QUBE_CLASSES)[number];

/** The label of a VM whose own is not known, or does not exist on the system. */
export const FALLBACK_LABEL = 'red';

export function isQubeClass(className: string): className is QubeClass {
  return QUBE_CLASSES.some((known) => known === className);
}

/** In words, what a VM of another class is: one of another machine, which has no volumes here. */
export function whatItIs({ className }: { readonly className: string }): string {
  return className === 'RemoteVM'
    ? 'it is a RemoteVM, which lives on another machine'
    : `it is of the class ${className}, which coffer does not know`;
}

/** One of a VM's volumes, as `admin.vm.volume.Info` tells of it. */
export interface Volume {
  readonly name: string;
  /** Apparent size in bytes. */
  readonly size: number;
  /** Bytes in use, if the system knows: an estimate for tables and progress. */
  readonly usage: number | undefined;
  readonly pool: string;
  readonly vid: string;
  /** Whether the volume's content outlives the VM's run: only these belong in a backup. */
  readonly saveOnStop: boolean;
  /** How many former contents the pool keeps; see `hasNoSavedState` for -1. Undefined: not known. */
  readonly revisionsToKeep?: number | undefined;
  /** Whether it is encrypted with a key that is gone after the run. Undefined: not known. */
  readonly ephemeral?: boolean | undefined;
}

/** A device that a VM is given at its start, or asks for. */
export interface DeviceAssignment {
  readonly deviceClass: string;
  readonly backend: string;
  readonly port: string;
  /** All other fields as qubesd serialises them: `device_id`, `mode`, `_option name`, … */
  readonly fields: ReadonlyMap<string, string>;
}

/** A firewall rule: `action`, `dst4`, `dsthost`, `proto`, `dstports`, … in the order they stand. */
export type FirewallRule = ReadonlyMap<string, string>;

/** A VM and everything about it that a restore needs, but for its volumes' contents. */
export interface Qube {
  readonly name: string;
  readonly qubeClass: QubeClass;
  readonly qid: number;
  readonly label: string;
  /** What was set by hand, `template` and `netvm` among it; never `name`, `qid`, `uuid`, `label`. A
   *  VM-valued property set to "none" is the empty string. */
  readonly properties: ReadonlyMap<string, string>;
  readonly features: ReadonlyMap<string, string>;
  readonly tags: ReadonlySet<string>;
  readonly devices: readonly DeviceAssignment[];
  readonly volumes: readonly Volume[];
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
 * Whether a VM works on the volume's only content while it runs, rather than on a copy that becomes the
 * content at its shutdown: then nothing is saved apart (`snapshots_disabled` of qubes/storage).
 */
export function hasNoSavedState({ saveOnStop, revisionsToKeep }: Volume): boolean {
  return saveOnStop && revisionsToKeep === -1;
}

/** Why a volume cannot be read while its VM runs, in words; undefined when it has a saved state. */
export function whyUnsaved(volume: Volume): string | undefined {
  if (!hasNoSavedState(volume)) return undefined;
  return `its volume ${volume.name} has no saved state meanwhile (revisions_to_keep is -1)`;
}

/** The bytes of the volumes that belong in a backup; undefined where an old backup does not tell. */
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
 * Features in which qubesd keeps how things stand just now: they mean nothing on another day, and who sets
 * them is refused or believed (PROHIBITED_FEATURES in qubes/ext/admin.py of qubes-core-admin).
 */
const STATE_FEATURES = new Set([
  'deferred-netvm-original',
  'preload-dispvm',
  'preload-dispvm-completed',
  'preload-dispvm-in-progress',
]);

/** The features that were set by somebody, and belong in a backup. */
export function settableFeatures(features: ReadonlyMap<string, string>): Map<string, string> {
  return new Map([...features].filter(([feature]) => !STATE_FEATURES.has(feature)));
}

/** Whether qubesd itself set a tag: who created the VM, and where its windows and its sound go. */
export function isTagOfQubesd(tag: string): boolean {
  return /^(created-by|guivm|audiovm)-/.test(tag);
}

/**
 * Whether a tag gives a VM a part in a restore that is under way: Qubes' policy lets what has
 * `backup-restore-mgmt` change the VMs that have `backup-restore-in-progress`
 * (85-admin-backup-restore.policy of qubes-core-admin).
 */
export function isTagOfRestore(tag: string): boolean {
  return tag.startsWith('backup-restore-');
}

/** Qubes' limit for a VM's name, in characters. */
const LONGEST_NAME = 31;
const MOST_TRIES = 1000;

/** A name like `wanted` that is not taken: `work-1`, `work-2` … Undefined when there is none. */
export function freeName(wanted: string, taken: ReadonlySet<string>): string | undefined {
  for (let number = 1; number < MOST_TRIES; number++) {
    const suffix = `-${number}`;
    const name = wanted.slice(0, LONGEST_NAME - suffix.length) + suffix;
    if (!taken.has(name) && isValidQubeName(name)) return name;
  }
  return undefined;
}
