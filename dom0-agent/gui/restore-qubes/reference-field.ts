import Gtk from 'gi://Gtk?version=3.0';
import { sentenceLabel } from '../form.ts';
import { _, fill } from '../texts.ts';
import type { SystemHere } from './system-here.ts';

/** The properties, besides the template, for which a replacement can be chosen; each with its option of coffer. */
const OPTIONS: Readonly<Record<string, string>> = {
  netvm: '--use-netvm',
  default_dispvm: '--use-dispvm',
  kernel: '--use-kernel',
};
/** What can be chosen on every system: the words that the options take. */
const [DEFAULT, NONE] = ['default', 'none'];

/** Something that a VM refers to: if it is missing here, says so, and offers a choice of replacements. */
export class ReferenceField {
  readonly widget = new Gtk.Box({ spacing: 6, marginStart: 24, noShowAll: true });
  /** Called when the user has chosen a replacement. */
  chosen: (instead: string) => void = () => undefined;
  readonly property: string;
  /** The name that the VM refers to, in the backup. */
  readonly name: string;
  readonly #qube: string;
  readonly #fit: readonly string[] | undefined;
  readonly #instead = new Gtk.ComboBoxText();
  #isMissing = false;
  #isOffering = false;

  /** @param qube the name of the VM in the backup */
  constructor(qube: string, property: string, name: string, here: SystemHere) {
    this.property = property;
    this.name = name;
    this.#qube = qube;
    this.#fit = here.fitFor(property);
    this.widget.add(sentenceLabel(missingSentence(property, name)));
    if (this.#canBeChosen) this.widget.add(this.#instead);
    for (const child of this.widget.get_children()) child.show();
    this.#instead.append(DEFAULT, _('the default one'));
    if (property !== 'kernel') this.#instead.append(NONE, _('none'));
    for (const each of this.#fit ?? []) this.#instead.append(each, each);
    this.#instead.get_accessible().set_name(fill(choiceText(property), { name: qube }));
    this.#instead.connect('changed', () => {
      const chosen = this.#instead.get_active_id();
      if (chosen !== null && !this.#isOffering) this.chosen(chosen);
    });
  }

  /** Whether the VM cannot be restored yet: a replacement must be chosen here, or missing references ignored. */
  get isOpen(): boolean {
    const isNeeded = this.property === 'netvm' || this.property === 'default_dispvm';
    return isNeeded && this.#isMissing && this.#instead.get_active_id() === null;
  }

  get options(): string[] {
    const instead = this.#isMissing ? this.#instead.get_active_id() : null;
    return instead === null ? [] : [OPTIONS[this.property] ?? '', `${this.#qube}=${instead}`];
  }

  /** Chooses this replacement, unless one was chosen already. */
  offer(instead: string): void {
    if (this.#instead.get_active_id() !== null) return;
    this.#isOffering = true;
    this.#instead.set_active_id(instead);
    this.#isOffering = false;
  }

  /**
   * Shows whether it is missing.
   *
   * @param restored the names of the VMs that are restored with it
   * @param isShown whether the row of its VM is shown, and anything is restored
   */
  show(restored: ReadonlySet<string>, isShown: boolean): void {
    const isThere = this.#fit === undefined || this.#fit.includes(this.name);
    this.#isMissing = !isThere && !restored.has(this.name);
    this.widget.visible = this.#isMissing && isShown;
  }

  get #canBeChosen(): boolean {
    return this.property in OPTIONS;
  }
}

function missingSentence(property: string, name: string): string {
  return fill(missingText(property), { name });
}

function missingText(property: string): string {
  switch (property) {
    case 'netvm':
      return _('Its net qube {name} is neither here nor selected. Instead:');
    case 'default_dispvm':
      return _('Its disposable template {name} is neither here nor selected. Instead:');
    case 'kernel':
      return _('Its kernel {name} is not in dom0: it starts with the default one. Instead:');
    case 'management_dispvm':
      return _(
        'The disposable template {name} that manages it is missing: it gets the default one.',
      );
    case 'guivm':
      return _('The qube {name} that shows its windows is missing: it gets the default one.');
    default:
      return _('The qube {name} that plays its sound is missing: it gets the default one.');
  }
}

/** The accessible name of the choice. */
function choiceText(property: string): string {
  if (property === 'netvm') return _('Net qube of {name}');
  return property === 'kernel' ? _('Kernel of {name}') : _('Disposable template of {name}');
}
