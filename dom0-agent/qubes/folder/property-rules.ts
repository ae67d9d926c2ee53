import { RefusedError } from '../../../shared/errors.ts';
import type { Qube } from '../qube.ts';
import type { QubesStore, StoredQube } from '../xml/qubes-store.ts';

type Kind = 'switch' | 'number' | 'text' | 'vm';

/** The settings of a VM that can be changed (qubes/vm/ of qubes-core-admin, R4.3), except `label`. */
const SETTINGS: ReadonlyMap<string, Kind> = new Map([
  ['appvm_default_bootmode', 'text'],
  ['audiovm', 'vm'],
  ['auto_cleanup', 'switch'],
  ['autostart', 'switch'],
  ['backup_timestamp', 'number'],
  ['bootmode', 'text'],
  ['debug', 'switch'],
  ['default_dispvm', 'vm'],
  ['default_user', 'text'],
  ['devices_denied', 'text'],
  ['dispid', 'number'],
  ['guivm', 'vm'],
  ['include_in_backups', 'switch'],
  ['installed_by_rpm', 'switch'],
  ['ip', 'text'],
  ['ip6', 'text'],
  ['kernel', 'text'],
  ['kernelopts', 'text'],
  ['keyboard_layout', 'text'],
  ['mac', 'text'],
  ['management_dispvm', 'vm'],
  ['maxmem', 'number'],
  ['memory', 'number'],
  ['netvm', 'vm'],
  ['provides_network', 'switch'],
  ['qrexec_timeout', 'number'],
  ['shutdown_timeout', 'number'],
  ['stubdom_mem', 'number'],
  ['template', 'vm'],
  ['template_for_dispvms', 'switch'],
  ['updateable', 'switch'],
  ['vcpus', 'number'],
  ['virt_mode', 'text'],
]);

/**
 * A VM with a setting changed. Throws RefusedError, as qubesd does, for an unknown setting, a value of
 * the wrong type, and a VM or label that does not exist or is not of the right kind.
 *
 * @param value the empty string for "none", where the value is a VM
 */
export function withProperty(
  qube: StoredQube,
  store: QubesStore,
  property: string,
  value: string,
): StoredQube {
  if (property === 'label') {
    requireLabel(store, value);
    return { ...qube, label: value };
  }
  const kind = SETTINGS.get(property);
  if (kind === undefined) {
    throw new RefusedError(`${qube.name} has no setting "${property}" that can be changed`);
  }
  if (!isOfKind(kind, value)) {
    throw new RefusedError(`the setting ${property} of ${qube.name} cannot be "${value}"`);
  }
  if (property === 'template') requireTemplate(store, qube, value);
  else if (kind === 'vm' && value !== '') requireReferred(store, property, value);
  return { ...qube, properties: new Map([...qube.properties, [property, value]]) };
}

/** Throws RefusedError when the system does not know the label. */
export function requireLabel(store: QubesStore, label: string): void {
  if (!store.labels.some(({ name }) => name === label)) {
    throw new RefusedError(`there is no label "${label}" on this system`);
  }
}

/** Throws RefusedError when a VM of this class cannot be based on `template`. */
export function requireTemplate(
  store: QubesStore,
  qube: Pick<Qube, 'name' | 'qubeClass'>,
  template: string | undefined,
): StoredQube {
  const found = store.qubes.find(({ name }) => name === template);
  const fits =
    found !== undefined &&
    (qube.qubeClass === 'AppVM'
      ? found.qubeClass === 'TemplateVM'
      : qube.qubeClass === 'DispVM' && isTrue(found, 'template_for_dispvms'));
  if (fits) return found;
  throw new RefusedError(`${qube.name} cannot have the template "${template ?? ''}"`);
}

/** The names of the VMs that refer to a VM in their settings. */
export function qubesThatUse(store: QubesStore, name: string): string[] {
  return store.qubes
    .filter((qube) =>
      [...qube.properties].some(([key, value]) => SETTINGS.get(key) === 'vm' && value === name),
    )
    .filter((qube) => qube.name !== name)
    .map((qube) => qube.name);
}

function requireReferred(store: QubesStore, property: string, value: string): void {
  const referred = store.qubes.find(({ name }) => name === value);
  if (referred === undefined) {
    throw new RefusedError(`there is no VM called ${value} for the setting ${property}`);
  }
  if (property === 'netvm' && !isTrue(referred, 'provides_network')) {
    throw new RefusedError(`${value} does not provide network, so it cannot be a netvm`);
  }
  if (property === 'default_dispvm' && !isTrue(referred, 'template_for_dispvms')) {
    throw new RefusedError(
      `${value} is not a template for disposables, so it cannot be a default_dispvm`,
    );
  }
}

function isTrue({ properties }: StoredQube, property: string): boolean {
  return properties.get(property) === 'True';
}

function isOfKind(kind: Kind, value: string): boolean {
  if (kind === 'switch') return value === 'True' || value === 'False';
  if (kind === 'number') return /^-?\d{1,15}$/.test(value);
  return true;
}
