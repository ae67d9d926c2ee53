import Gtk from 'gi://Gtk?version=3.0';
import { say, sentenceLabel } from '../form.ts';
import { iconFor } from '../label-icon.ts';
import { _, fill, sizeText } from '../texts.ts';
import type { ContainedQube } from '../coffer-events.ts';
import { ReferenceField } from './reference-field.ts';
import type { SystemHere } from './system-here.ts';

/** The property that has its own column; the others are shown only if what they refer to is missing. */
const TEMPLATE = 'template';

/** Something that is missing here, and the property of VMs that refers to it. */
export interface Missing {
  readonly property: string;
  readonly name: string;
}

/**
 * A row: a VM in a backup, and what the user chooses for it. dom0 needs no new name: its home is restored to a new
 * directory.
 */
export class QubeFields {
  /** Called when something is chosen. */
  changed: () => void = () => undefined;
  /** Called when the user has chosen a replacement for something that is missing. */
  insteadChosen: (missing: Missing, instead: string) => void = () => undefined;
  readonly #qube: ContainedQube;
  readonly #here: SystemHere;
  readonly #isTaken: boolean;
  readonly #selected: Gtk.CheckButton;
  readonly #template = new Gtk.Label({ xalign: 0 });
  readonly #instead = new Gtk.ComboBoxText();
  /** What the VM refers to, besides its template. */
  readonly #references: readonly ReferenceField[];
  readonly #newName = new Gtk.Entry({ activatesDefault: true, widthChars: 16 });
  readonly #note = sentenceLabel();
  readonly #problems = new Gtk.Box({ orientation: Gtk.Orientation.VERTICAL, spacing: 3 });
  #refusal = '';
  #lacksTemplate = false;
  #isOffering = false;

  /** @param inBackup the names of all VMs in the backup */
  constructor(qube: ContainedQube, here: SystemHere, inBackup: ReadonlySet<string>) {
    this.#qube = qube;
    this.#here = here;
    this.#isTaken = qube.class !== 'AdminVM' && here.has(qube.name);
    this.#references = qube.references
      .filter(({ property }) => property !== TEMPLATE)
      .map(({ property, name }) => new ReferenceField(qube.name, property, name, here));
    this.#selected = new Gtk.CheckButton({ label: qube.name });
    this.#template.label = qube.template ?? '';
    for (const each of here.templatesFor(qube.class)) this.#instead.append(each, each);
    if (this.#isTaken) this.#newName.text = here.otherName(qube.name, inBackup);
    const name = { name: qube.name };
    this.#instead.get_accessible().set_name(fill(_('Template of {name}'), name));
    this.#newName.get_accessible().set_name(fill(_('Name of {name} here'), name));
    for (const each of [this.#instead, this.#newName, this.#note]) each.noShowAll = true;
    this.#selected.connect('toggled', () => this.changed());
    this.#newName.connect('changed', () => this.#edited());
    this.#instead.connect('changed', () => {
      const chosen = this.#instead.get_active_id();
      const name = qube.template ?? '';
      if (chosen !== null && !this.#isOffering)
        this.insteadChosen({ property: TEMPLATE, name }, chosen);
      this.#edited();
    });
    for (const each of this.#references) {
      each.chosen = (instead) => {
        this.insteadChosen(each, instead);
        this.#edited();
      };
    }
  }

  get name(): string {
    return this.#qube.name;
  }

  get used(): number {
    return this.#qube.used;
  }

  /** The name of something that the VM lacks and cannot be restored without, unless missing references are ignored. */
  get lacks(): string | undefined {
    return this.#references.find(({ isOpen }) => isOpen)?.name;
  }

  get isSelected(): boolean {
    return this.#selected.active;
  }

  set isSelected(isSelected: boolean) {
    this.#selected.active = isSelected;
  }

  /** Whether the row is shown. */
  get isShown(): boolean {
    return this.#selected.visible;
  }

  set isShown(isShown: boolean) {
    this.#selected.visible = isShown;
    this.changed();
  }

  /** The name under which it is restored. */
  get newName(): string {
    return this.#isTaken ? this.#newName.text : this.name;
  }

  get options(): string[] {
    const instead = this.#lacksTemplate ? this.#instead.get_active_id() : null;
    return [
      ...(this.#isTaken ? ['--new-name', `${this.name}=${this.newName}`] : []),
      ...(instead === null ? [] : ['--use-template', `${this.name}=${instead}`]),
      ...this.#references.flatMap(({ options }) => options),
    ];
  }

  /** A sentence about why it cannot be restored like this; undefined if it can. */
  missing(): string | undefined {
    const name = this.newName;
    if (name === '') return fill(_('Enter a name for {qube}.'), { qube: this.name });
    if (this.#isTaken && this.#here.has(name)) {
      return fill(_('Enter another name for {qube}: {name} is taken here.'), {
        ...{ qube: this.name, name },
      });
    }
    const needsTemplate = this.#lacksTemplate && this.#instead.get_active_id() === null;
    return needsTemplate
      ? fill(_('Choose a template for {qube}.'), { qube: this.name })
      : undefined;
  }

  /** Shows why the choice for it was refused, until it is changed. */
  refuse(sentence: string): void {
    this.#refusal = sentence;
    this.#showNote();
  }

  /** Chooses this replacement if the VM lacks the same, unless another choice was made. */
  offer({ property, name }: Missing, instead: string): void {
    const isIt = (each: Missing): boolean => each.property === property && each.name === name;
    this.#references.find(isIt)?.offer(instead);
    const isTemplate = property === TEMPLATE && name === this.#qube.template;
    if (!isTemplate || this.#instead.get_active_id() !== null) return;
    this.#isOffering = true;
    this.#instead.set_active_id(instead);
    this.#isOffering = false;
  }

  /**
   * Shows the fields in which something has to be chosen.
   *
   * @param restored the names of the VMs that are restored with it
   * @param isOnlyVerified whether nothing is restored: then there is nothing to choose
   */
  show(restored: ReadonlySet<string>, isOnlyVerified: boolean): void {
    const { template, class: qubeClass } = this.#qube;
    const fit = this.#here.templatesFor(qubeClass);
    for (const each of this.#references) each.show(restored, this.isShown && !isOnlyVerified);
    this.#lacksTemplate =
      template !== null && !isOnlyVerified && !fit.includes(template) && !restored.has(template);
    this.#template.visible = this.isShown && !this.#lacksTemplate;
    this.#instead.visible = this.isShown && this.#lacksTemplate;
    this.#newName.visible = this.isShown && this.#isTaken && !isOnlyVerified;
    this.#showNote();
  }

  /** Puts the fields into a row of a grid, and remarks about them into the row below. */
  attachTo(grid: Gtk.Grid, row: number): void {
    const { class: qubeClass, used } = this.#qube;
    const first = new Gtk.Box({ spacing: 6 });
    first.add(this.#selected);
    first.add(this.#label());
    const template = new Gtk.Box();
    template.add(this.#template);
    template.add(this.#instead);
    const cells = [first, textLabel(qubeClass), textLabel(sizeText(used)), template, this.#newName];
    for (const [column, cell] of cells.entries()) grid.attach(cell, column, row, 1, 1);
    this.#note.marginStart = 24;
    this.#problems.add(this.#note);
    for (const { widget } of this.#references) this.#problems.add(widget);
    grid.attach(this.#problems, 0, row + 1, cells.length, 1);
    for (const cell of cells.slice(0, 4)) {
      this.#selected.bind_property('visible', cell, 'visible', 0);
    }
  }

  #edited(): void {
    this.#refusal = '';
    this.changed();
  }

  #showNote(): void {
    const { name, template, remarks } = this.#qube;
    const sentences = [
      ...remarks,
      ...(this.#newName.visible ? [fill(_('There is a qube called {name} here.'), { name })] : []),
      ...(this.#instead.visible
        ? [
            fill(_('Its template {template} is neither here nor selected.'), {
              template: template ?? '',
            }),
          ]
        : []),
      this.#refusal,
    ];
    say(this.#note, this.isShown ? sentences.filter((each) => each !== '').join('\n') : '');
  }

  #label(): Gtk.Widget {
    const { class: qubeClass, label } = this.#qube;
    const icon = iconFor(qubeClass, label);
    return icon === undefined
      ? textLabel(`(${label})`)
      : Gtk.Image.new_from_icon_name(icon, Gtk.IconSize.MENU);
  }
}

function textLabel(label: string): Gtk.Label {
  return new Gtk.Label({ label, xalign: 0 });
}
