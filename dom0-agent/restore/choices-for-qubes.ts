import { RefusedError } from '../../shared/errors.ts';
import { isValidQubeName } from '../qubes/qube.ts';
import type { BackedUpQube } from '../qubes/backup-contents.ts';
import type { RestoreChoices, SystemState } from './plan-input.ts';
import type { References } from './references.ts';

/** What can be chosen for one VM: the name of the option. */
export type ChoiceForQube = 'new-name' | 'use-template';

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
export function refuseOthers(
  selected: readonly BackedUpQube[],
  { newName = new Map(), useTemplate = new Map() }: RestoreChoices,
): void {
  const names = new Set(selected.map(({ qube }) => qube.name));
  for (const [option, choices] of [
    ['new-name', newName],
    ['use-template', useTemplate],
  ] as const) {
    for (const vm of choices.keys()) {
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
    : state.qubes.has(name)
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
  { useTemplate }: RestoreChoices,
): string | undefined {
  const template = useTemplate?.get(qube.name);
  if (template === undefined) return undefined;
  const refuse = (why: string): never => {
    const sentence = `${qube.name} cannot be based on ${template}: ${why}`;
    throw new ChoiceRefusedError('use-template', qube.name, sentence);
  };
  if (!qube.properties.has('template')) return refuse(`a ${qube.qubeClass} has no template`);
  return references.named(qube, 'template', template) ?? refuse('there is no such template here');
}
