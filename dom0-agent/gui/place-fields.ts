import Gtk from 'gi://Gtk?version=3.0';
import { askForDirectory } from './browse-dialog.ts';
import type { CofferProgram } from './coffer-program.ts';
import { type Form, check, say } from './form.ts';
import { type Device, PlaceChoices } from './place-choices.ts';
import { _ } from './texts.ts';

/** Where a backup is stored. */
export interface Place {
  readonly vm: string;
  readonly location: string;
  readonly isCommand: boolean;
}

/** The labels of the fields, which depend on what the place is for. */
export interface PlaceTexts {
  readonly qube: string;
  readonly location: string;
  /** Undefined: the place cannot be a command. */
  readonly isCommand?: string;
}

/** Fields for a device or a qube, and a directory or a command there. */
export class PlaceFields {
  /** Called when the place has changed. */
  changed: () => void = () => undefined;
  readonly #coffer: CofferProgram;
  readonly #choices: PlaceChoices;
  readonly #location = new Gtk.Entry({ hexpand: true, activatesDefault: true });
  readonly #isCommand: Gtk.CheckButton;
  readonly #refused: Gtk.Label;
  readonly #browse = new Gtk.Button({ label: '…', tooltipText: _('Choose a directory there') });

  constructor(form: Form, coffer: CofferProgram, texts: PlaceTexts) {
    this.#coffer = coffer;
    this.#choices = new PlaceChoices(coffer, form, texts.qube);
    form.field(texts.location, this.#location, this.#browse);
    this.#browse.get_accessible().set_name(_('Browse'));
    this.#isCommand = check(texts.isCommand ?? '');
    if (texts.isCommand !== undefined) form.row(this.#isCommand);
    this.#refused = form.note();
    this.#choices.changed = () => this.#changed();
    this.#choices.deviceChosen = (directory) => (this.#location.text = directory);
    this.#location.connect('changed', () => this.#changed());
    this.#isCommand.connect('toggled', () => this.#changed());
    this.#browse.connect('clicked', () => void this.#browseThere());
  }

  get place(): Place {
    return {
      vm: this.#choices.vm,
      location: this.#location.text,
      isCommand: this.#isCommand.active,
    };
  }

  set place({ vm, location, isCommand }: Place) {
    this.#choices.vm = vm;
    this.#location.text = location;
    this.#isCommand.active = isCommand;
  }

  /** The device that the place is on, if it is known. */
  get device(): Device | undefined {
    return this.#choices.deviceOf(this.place);
  }

  /** Looks for devices and qubes now; while the fields are shown, this is repeated every few seconds. */
  async look(): Promise<void> {
    await this.#choices.look();
  }

  /** Shows, at the field, what is known about the place, or why it was refused. */
  say(sentence: string): void {
    say(this.#refused, sentence);
  }

  #changed(): void {
    this.say('');
    // There is nothing to browse for a command.
    this.#browse.visible = !this.#isCommand.active;
    this.changed();
  }

  async #browseThere(): Promise<void> {
    const { vm, location } = this.place;
    const window = this.#location.get_toplevel();
    if (!(window instanceof Gtk.Window)) return;
    const chosen = await askForDirectory(window, this.#coffer, vm, location);
    if (chosen !== undefined) this.#location.text = chosen;
  }
}
