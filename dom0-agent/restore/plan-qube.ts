import { DamagedError } from '../../shared/errors.ts';
import { RESTORE_MARK } from '../qubes/restore-mark.ts';
import {
  type DeviceAssignment,
  FALLBACK_LABEL,
  type Qube,
  isTagOfQubesd,
  isTagOfRestore,
  settableFeatures,
} from '../qubes/qube.ts';
import type { NewQube, VolumeSettings } from '../qubes/system.ts';
import type { RestoreChoices } from './plan-input.ts';
import type { BackedUpQube } from '../qubes/backup-contents.ts';
import { type Setting, isKeptThoughDistrusted } from './distrusted-settings.ts';
import { type Chosen, chosenReference, chosenTemplate } from './choices-for-qubes.ts';
import { type QubeProperty, type References, inWords, isQubeProperty } from './references.ts';
import type { SystemState } from './plan-input.ts';

/** A VM to be restored: how it will be created, and its settings. */
export interface PlannedRestore {
  readonly source: BackedUpQube;
  readonly newQube: NewQube;
  /** With references to the new names of renamed VMs; without template and label, which are set at creation. */
  readonly properties: ReadonlyMap<string, string>;
  readonly features: ReadonlyMap<string, string>;
  readonly tags: ReadonlySet<string>;
  readonly devices: readonly DeviceAssignment[];
  /** For the volumes that have settings. */
  readonly volumes: ReadonlyMap<string, VolumeSettings>;
  /** Whether a list of menu entries in the archive becomes the feature `menu-items`. */
  readonly withMenu: boolean;
  /** What will differ from the backup, and why. */
  readonly remarks: readonly string[];
}

/** Whether a setting is restored; if not, a remark is added. */
type Keeps = (kind: Setting, name: string, value?: string) => boolean;

/** Properties that are set at creation, or are specific to the system that the backup came from. */
const NOT_SET = new Set(['template', 'installed_by_rpm', 'dispid']);

/** Plans how one VM is restored under the name `newName`. */
export function planQube(
  source: BackedUpQube,
  newName: string,
  references: References,
  state: SystemState,
  choices: RestoreChoices,
): PlannedRestore {
  const { qube } = source;
  const remarks = [...source.remarks];
  if (newName !== qube.name) {
    const isTaken = state.names.has(qube.name);
    remarks.push(
      isTaken ? `the name ${qube.name} is taken` : `it was called ${qube.name} in the backup`,
    );
  }
  const keeps: Keeps = (kind, name, value = '') => {
    if (!choices.distrustSettings || isKeptThoughDistrusted(kind, name, value)) return true;
    remarks.push(`${kind} ${name} left out: settings are distrusted`);
    return false;
  };
  return {
    source,
    newQube: {
      name: newName,
      qubeClass: classOf(qube),
      label: planLabel(qube, state, remarks),
      template: planTemplate(source, references, state, choices, remarks),
      pool: choices.pool,
    },
    properties: planProperties(source, references, state, choices, keeps, remarks),
    features: planFeatures(qube, keeps),
    tags: planTags(qube, keeps),
    devices: planDevices(qube, references, keeps, remarks),
    volumes: planVolumes(qube, keeps),
    withMenu: !choices.distrustSettings,
    remarks,
  };
}

/** The system's default template, which replaces a VM's missing one; undefined if there is none. */
export function defaultTemplate(qube: Qube, { defaults }: SystemState): string | undefined {
  return qube.qubeClass === 'DispVM' ? defaults.dispvm : defaults.template;
}

function classOf(qube: Qube): NewQube['qubeClass'] {
  if (qube.qubeClass === 'AdminVM') throw new DamagedError('the backup has dom0 among its VMs');
  return qube.qubeClass;
}

function planLabel(qube: Qube, { labels }: SystemState, remarks: string[]): string {
  if (labels.has(qube.label)) return qube.label;
  remarks.push(`label ${FALLBACK_LABEL}, since ${qube.label} does not exist here`);
  return FALLBACK_LABEL;
}

function planTemplate(
  { qube }: BackedUpQube,
  references: References,
  state: SystemState,
  choices: RestoreChoices,
  remarks: string[],
): string | undefined {
  const template = qube.properties.get('template');
  if (template === undefined) return undefined;
  const chosen = chosenTemplate({ qube }, references, choices);
  const found = chosen ?? references.resolve(qube, 'template', template);
  if (chosen !== undefined && chosen !== template) {
    remarks.push(`template ${chosen} instead of ${template}`);
  }
  if (found !== undefined) return found;
  const instead = defaultTemplate(qube, state);
  remarks.push(`template ${instead ?? 'none'} instead of ${template}`);
  return instead;
}

/** What replaces the missing VM that a property refers to, for messages. */
function replacementFor(property: QubeProperty, { defaults }: SystemState): string {
  const usual = new Map([
    ['netvm', defaults.netvm ?? 'none'],
    ['default_dispvm', defaults.dispvm ?? 'none'],
  ]).get(property);
  return usual === undefined ? "this system's default" : `${usual}, this system's default,`;
}

function planProperties(
  source: BackedUpQube,
  references: References,
  state: SystemState,
  choices: RestoreChoices,
  keeps: Keeps,
  remarks: string[],
): Map<string, string> {
  const { qube } = source;
  const chosen = new Map<string, Chosen>(
    (['netvm', 'default_dispvm', 'kernel'] as const).flatMap((property) => {
      const what = chosenReference(property, source, references, state, choices);
      return what === undefined ? [] : [[property, what] as const];
    }),
  );
  const planned = new Map<string, string>();
  for (const [property, value] of qube.properties) {
    if (NOT_SET.has(property) || chosen.has(property)) continue;
    if (!keeps('property', property, value)) continue;
    if (property === 'kernel' && lacksKernel(value, state)) {
      remarks.push(`kernel this system's default instead of ${value}`);
      continue;
    }
    if (!isQubeProperty(property) || value === '') {
      planned.set(property, value);
      continue;
    }
    const found = references.resolve(qube, property, value);
    if (found !== undefined) planned.set(property, found);
    else
      remarks.push(`${inWords(property)} ${replacementFor(property, state)} instead of ${value}`);
  }
  for (const [property, what] of chosen) {
    const value = valueOf(what);
    const former = qube.properties.get(property);
    if (value !== undefined) planned.set(property, value);
    if (value !== former) {
      remarks.push(`${inWords(property)} ${described(value)} instead of ${described(former)}`);
    }
  }
  return planned;
}

/** Whether dom0 lacks this kernel, so that a VM could not start with it. Empty: the VM boots its own kernel. */
function lacksKernel(kernel: string, { kernels }: SystemState): boolean {
  return kernel !== '' && kernels?.has(kernel) === false;
}

/** The value of the property; undefined for the default. */
function valueOf(chosen: Chosen): string | undefined {
  if (chosen === 'default') return undefined;
  return chosen === 'none' ? '' : chosen.name;
}

/** The value of a property, for messages. */
function described(value: string | undefined): string {
  return value === undefined ? "this system's default" : value === '' ? 'none' : value;
}

function planTags({ tags }: Qube, keeps: Keeps): Set<string> {
  const settings = [...tags].filter((tag) => !isTagOfQubesd(tag) && !isTagOfRestore(tag));
  return new Set(settings.filter((tag) => keeps('tag', tag)));
}

function planFeatures(qube: Qube, keeps: Keeps): Map<string, string> {
  // Older backups, and those of the official tools, include transient state.
  const settings = settableFeatures(qube.features);
  settings.delete(RESTORE_MARK);
  return new Map([...settings].filter(([name, value]) => keeps('feature', name, value)));
}

/**
 * A volume that is recreated at each start keeps no revisions. If a volume is not ephemeral, that may have been the
 * default of its old pool, so the new pool's default applies.
 */
function planVolumes({ volumes }: Qube, keeps: Keeps): Map<string, VolumeSettings> {
  const planned = new Map<string, VolumeSettings>();
  for (const { name, saveOnStop, revisionsToKeep, ephemeral } of volumes) {
    const keepsRevisions =
      saveOnStop &&
      revisionsToKeep !== undefined &&
      keeps('revisions', `of ${name}`, `${revisionsToKeep}`);
    if (!keepsRevisions && ephemeral !== true) continue;
    planned.set(name, {
      revisionsToKeep: keepsRevisions ? revisionsToKeep : undefined,
      ephemeral: ephemeral === true ? true : undefined,
    });
  }
  return planned;
}

function planDevices(
  qube: Qube,
  references: References,
  keeps: Keeps,
  remarks: string[],
): DeviceAssignment[] {
  const planned: DeviceAssignment[] = [];
  for (const device of qube.devices) {
    if (!keeps('device', `${device.backend}:${device.port}`)) continue;
    const backend = references.follow(device.backend);
    if (backend !== undefined) planned.push({ ...device, backend });
    else remarks.push(`device ${device.port} left out: there is no VM ${device.backend} here`);
  }
  return planned;
}
