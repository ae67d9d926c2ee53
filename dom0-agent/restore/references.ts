import type { Qube } from '../qubes/qube.ts';
import type { SystemState } from './plan-input.ts';

/** The properties whose value is a VM's name. */
const QUBE_PROPERTIES = [
  'template',
  'netvm',
  'default_dispvm',
  'management_dispvm',
  'guivm',
  'audiovm',
] as const;
export type QubeProperty = (typeof QUBE_PROPERTIES)[number];

/** A property's name for messages. */
export function inWords(property: string): string {
  return property.replace('_dispvm', ' DispVM');
}

/** Whether the value of a property is the name of a VM. */
export function isQubeProperty(property: string): property is QubeProperty {
  return QUBE_PROPERTIES.some((known) => known === property);
}

/** The names in a VM's properties: of other VMs, and of its kernel in dom0. */
export function referencesOf({ properties }: Qube): { property: string; name: string }[] {
  return [...QUBE_PROPERTIES, 'kernel'].flatMap((property) => {
    const name = properties.get(property) ?? '';
    return name === '' ? [] : [{ property, name }];
  });
}

/** Resolves references of restored VMs: to VMs restored with them, or else to VMs of the system. */
export class References {
  readonly #restored: ReadonlyMap<string, { qube: Qube; newName: string }>;
  readonly #state: SystemState;

  /** @param restored the VMs that are restored, and their new names, by name in the backup */
  constructor(restored: ReadonlyMap<string, { qube: Qube; newName: string }>, state: SystemState) {
    this.#restored = restored;
    this.#state = state;
  }

  /**
   * The name that the VM called `value` in the backup will have after the restore. Undefined when no such VM will
   * exist, or when it cannot be the `property` of the VM `of`.
   */
  resolve(of: Qube, property: QubeProperty, value: string): string | undefined {
    const restored = this.#restored.get(value);
    if (restored !== undefined && isSuitable(restored.qube, of, property)) return restored.newName;
    const present = this.#state.qubes.get(value);
    return present !== undefined && isSuitable(present, of, property) ? value : undefined;
  }

  /** The same, but `name` is a name on this system, as it will be after the restore. */
  named(of: Qube, property: QubeProperty, name: string): string | undefined {
    const restored = [...this.#restored.values()].find(({ newName }) => newName === name)?.qube;
    const target = this.#state.qubes.get(name) ?? restored;
    return target !== undefined && isSuitable(target, of, property) ? name : undefined;
  }

  /** Like `resolve`, for a VM that only has to exist: a device's backend. */
  follow(value: string): string | undefined {
    return this.#restored.get(value)?.newName ?? this.#state.qubes.get(value)?.name;
  }
}

/** Whether this property of the VM `of` can refer to `target`. */
function isSuitable(target: Qube, of: Qube, property: QubeProperty): boolean {
  const isSet = (name: string): boolean => target.properties.get(name) === 'True';
  switch (property) {
    case 'template':
      return of.qubeClass === 'DispVM'
        ? isSet('template_for_dispvms')
        : target.qubeClass === 'TemplateVM';
    case 'netvm':
      return isSet('provides_network');
    case 'default_dispvm':
    case 'management_dispvm':
      return isSet('template_for_dispvms');
    case 'guivm':
    case 'audiovm':
      return true;
  }
}
