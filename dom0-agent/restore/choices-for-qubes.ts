import { RefusedError } from '../../shared/errors.ts';
import { isValidQubeName } from '../qubes/qube.ts';
import type { BackedUpQube } from '../qubes/backup-contents.ts';
import type { RestoreChoices, SystemState } from './plan-input.ts';
import { type References, inWords } from './references.ts';

/** The properties of a VM that the user can choose another value for. */
const PROPERTIES = ['template', 'netvm', 'default_dispvm', 'kernel'] as const;
export type ChosenProperty = (typeof PROPERTIES)[number];

const OPTIONS = {
  template: 'use-template',
  netvm: 'use-netvm',
  default_dispvm: 'use-dispvm',
  kernel: 'use-kernel',
} as const;

/** What can be chosen for one VM: the name of the option. */
export type ChoiceForQube = 'new-name' | (typeof OPTIONS)[ChosenProperty];

/** What the user chose for one VM cannot be done. */
export class ChoiceRefusedError extends RefusedError {
  readonly option: ChoiceForQube;
  /** The VM, by its name in the backup. */
  readonly vm: string;

  constructor(option: ChoiceForQube, vm: string, sentence: string) {
    super(sentence);
    this.option = option;
    this.vm = vm;
  }
}

/** Throws ChoiceRefusedError for a choice about a VM that will not be restored. */
export function refuseOthers(selected: readonly BackedUpQube[], choices: RestoreChoices): void {
  const names = new Set(selected.map(({ qube }) => qube.name));
  const all: (readonly [ChoiceForQube, ReadonlyMap<string, string> | undefined])[] = [
    ['new-name', choices.newName],
    ...PROPERTIES.map((property) => [OPTIONS[property], choicesOf(property, choices)] as const),
  ];
  for (const [option, made = new Map<string, string>()] of all) {
    for (const vm of made.keys()) {
      if (names.has(vm)) continue;
      throw new ChoiceRefusedError(
        option,
        vm,
        `--${option}: ${vm} is not among the VMs to restore`,
      );
    }
  }
}

/**
 * The name that was chosen for a VM. Throws ChoiceRefusedError when it is invalid or taken.
 *
 * @param vm the VM's name in the backup
 * @param taken the names of this system's VMs, and of those that are restored
 */
export function requireFreeName(
  vm: string,
  name: string,
  state: SystemState,
  taken: ReadonlySet<string>,
): string {
  const why = !isValidQubeName(name)
    ? 'a name begins with a letter and has up to 31 letters, digits, dots, _ and -'
    : state.names.has(name)
      ? 'this system already has a VM of that name'
      : taken.has(name)
        ? 'another VM is restored under that name'
        : undefined;
  if (why === undefined) return name;
  throw new ChoiceRefusedError(
    'new-name',
    vm,
    `${vm} cannot be restored as ${name || '""'}: ${why}`,
  );
}

/** The template that was chosen for a VM; undefined if none was. Throws ChoiceRefusedError if the VM cannot use it. */
export function chosenTemplate(
  { qube }: Pick<BackedUpQube, 'qube'>,
  references: References,
  choices: RestoreChoices,
): string | undefined {
  const template = choices.useTemplate?.get(qube.name);
  if (template === undefined) return undefined;
  const refuse = (why: string): never => {
    const sentence = `${qube.name} cannot be based on ${template}: ${why}`;
    throw new ChoiceRefusedError('use-template', qube.name, sentence);
  };
  if (!qube.properties.has('template')) return refuse(`a ${qube.qubeClass} has no template`);
  return references.named(qube, 'template', template) ?? refuse('there is no such template here');
}

/** What was chosen for a property of a VM: a name, none, or the default. */
export type Chosen = { readonly name: string } | 'none' | 'default';

/**
 * What was chosen for a property of a VM instead of its value in the backup; undefined if nothing was. Throws
 * ChoiceRefusedError if this system has no VM, or kernel, of that name that is suitable.
 */
export function chosenReference(
  property: Exclude<ChosenProperty, 'template'>,
  { qube }: Pick<BackedUpQube, 'qube'>,
  references: References,
  { kernels }: Pick<SystemState, 'kernels'>,
  choices: RestoreChoices,
): Chosen | undefined {
  const name = choicesOf(property, choices)?.get(qube.name);
  if (name === undefined || name === 'default') return name;
  if (name === 'none' && property !== 'kernel') return name;
  const isHere =
    property === 'kernel'
      ? kernels?.has(name) !== false
      : references.named(qube, property, name) !== undefined;
  if (isHere) return { name };
  throw new ChoiceRefusedError(
    OPTIONS[property],
    qube.name,
    `${qube.name} cannot have the ${inWords(property)} ${name}: there is none of that name here that can be one`,
  );
}

/** What was chosen for this property, by the names of VMs. */
function choicesOf(
  property: ChosenProperty,
  { useTemplate, useNetvm, useDispvm, useKernel }: RestoreChoices,
): ReadonlyMap<string, string> | undefined {
  return {
    template: useTemplate,
    netvm: useNetvm,
    default_dispvm: useDispvm,
    kernel: useKernel,
  }[property];
}
