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

export function isQubeProperty(property: string): property is QubeProperty {
  return QUBE_PROPERTIES.some((known) => known === property);
}

/** Resolves references of restored VMs: to VMs restored with them, otherwise to the system's. */
export class References {
  readonly #restored: ReadonlyMap<string, { qube: Qube; newName: string }>;
  readonly #state: SystemState;

  /** `restored`: by name in the backup, the VM and its new name. */
  constructor(restored: ReadonlyMap<string, { qube: Qube; newName: string }>, state: SystemState) {
    this.#restored = restored;
    this.#state = state;
  }

  /**
   * The name after the restore of `value`, a VM's name in the backup. Undefined when no such VM will exist,
   * or none that can be the `property` of `of`.
   */
  resolve(of: Qube, property: QubeProperty, value: string): string | undefined {
    const restored = this.#restored.get(value);
    if (restored !== undefined && canServe(restored.qube, of, property)) return restored.newName;
    const present = this.#state.qubes.get(value);
    return present !== undefined && canServe(present, of, property) ? value : undefined;
  }

  /** The same for a name of this system, as it will be after the restore. */
  named(of: Qube, property: QubeProperty, name: string): string | undefined {
    const restored = [...this.#restored.values()].find(({ newName }) => newName === name)?.qube;
    const target = this.#state.qubes.get(name) ?? restored;
    return target !== undefined && canServe(target, of, property) ? name : undefined;
  }

  /** The name after the restore of a VM that only has to exist: a device's backend. */
  follow(value: string): string | undefined {
    return this.#restored.get(value)?.newName ?? this.#state.qubes.get(value)?.name;
  }
}

function canServe(target: Qube, of: Qube, property: QubeProperty): boolean {
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
