import Gtk from 'gi://Gtk?version=3.0';
import { askForDirectory } from './browse-dialog.ts';
import type { CofferProgram } from './coffer-program.ts';
import { type Form, say } from './form.ts';
import { type Device, PlaceChoices } from './place-choices.ts';
import { _ } from './texts.ts';

/** Where a backup is stored. */
export interface Place {
  readonly vm: string;
  readonly location: string;
  readonly isCommand: boolean;
  /** The command in the qube that leads to the location; empty if it needs none. */
  readonly through: string;
}

/** The labels of the fields, which depend on what the place is for. */
export interface PlaceTexts {
  readonly qube: string;
  readonly location: string;
  /** The choice that the place is a command; undefined if it cannot be one. */
  readonly command?: string;
}

/** The kinds of places: a directory in the qube, one elsewhere that a command in the qube leads to, or a command. */
type Kind = 'directory' | 'through' | 'command';
/** Commands that come with coffer: they lead to a server, or to a cloud. */
const LEADING = ['coffer-ssh', 'coffer-rclone'];

/** Fields for a device or a qube, and a place there: a directory, one that a command leads to, or a command. */
export class PlaceFields {
  /** Called when the place has changed. */
  changed: () => void = () => undefined;
  readonly #coffer: CofferProgram;
  readonly #choices: PlaceChoices;
  readonly #kind = new Gtk.ComboBoxText();
  readonly #through = Gtk.ComboBoxText.new_with_entry();
  readonly #location = new Gtk.Entry({ hexpand: true, activatesDefault: true });
  readonly #refused: Gtk.Label;
  readonly #browse = new Gtk.Button({ label: '…', tooltipText: _('Choose a directory there') });
  /** The widgets that are shown only if a command leads to the place. */
  readonly #ofThrough: readonly Gtk.Widget[];

  constructor(form: Form, coffer: CofferProgram, texts: PlaceTexts) {
    this.#coffer = coffer;
    this.#choices = new PlaceChoices(coffer, form, texts.qube);
    this.#addKinds(form, texts);
    const label = form.field(_('Command that _leads there'), this.#through);
    this.#ofThrough = [label, this.#through];
    form.field(texts.location, this.#location, this.#browse);
    this.#browse.get_accessible().set_name(_('Browse'));
    this.#refused = form.note();
    for (const each of [...this.#ofThrough, this.#browse]) each.noShowAll = true;
    for (const each of LEADING) this.#through.append_text(each);
    this.#throughEntry.get_accessible().set_name(_('Command that leads there'));
    this.#choices.changed = () => this.#changed();
    this.#choices.deviceChosen = (directory) => {
      const isThere = `${this.#location.text}/`.startsWith(`${directory}/`);
      this.#kind.set_active_id('directory');
      if (!isThere) this.#location.text = directory;
    };
    this.#location.connect('changed', () => this.#changed());
    this.#kind.connect('changed', () => this.#showKind());
    this.#through.connect('changed', () => this.#changed());
    this.#browse.connect('clicked', () => void this.#browseThere());
    this.#showKind();
  }

  get place(): Place {
    return {
      vm: this.#choices.vm,
      location: this.#location.text,
      isCommand: this.#kindNow === 'command',
      through: this.#kindNow === 'through' ? this.#throughEntry.text.trim() : '',
    };
  }

  set place({ vm, location, isCommand, through }: Place) {
    this.#choices.vm = vm;
    this.#throughEntry.text = through;
    this.#kind.set_active_id(through !== '' ? 'through' : isCommand ? 'command' : 'directory');
    this.#location.text = location;
  }

  /** Whether a command in the qube leads to the place: looking at the place runs it. */
  get isThrough(): boolean {
    return this.#kindNow === 'through';
  }

  /** The device that the place is on, if it is known. */
  get device(): Device | undefined {
    return this.#choices.deviceOf(this.place);
  }

  /**
   * What still has to be entered, in a sentence; undefined if nothing.
   *
   * @param location the sentence if the location is empty
   */
  missing(location: string): string | undefined {
    const { through, location: entered } = this.place;
    if (this.isThrough && through === '') return _('Enter the command that leads there.');
    return entered.trim() === '' ? location : undefined;
  }

  /** Looks for devices and qubes now; while the fields are shown, this is repeated every few seconds. */
  async look(): Promise<void> {
    await this.#choices.look();
  }

  /** Shows, at the field, what is known about the place, or why it was refused. */
  say(sentence: string): void {
    say(this.#refused, sentence);
  }

  get #kindNow(): Kind {
    return (this.#kind.get_active_id() ?? 'directory') as Kind;
  }

  get #throughEntry(): Gtk.Entry {
    return this.#through.get_child() as Gtk.Entry;
  }

  #addKinds(form: Form, { command }: PlaceTexts): void {
    this.#kind.append('directory', _('a directory'));
    this.#kind.append('through', _('a place that a command leads to: a server, a cloud'));
    if (command !== undefined) this.#kind.append('command', command);
    this.#kind.set_active_id('directory');
    form.field(_('_Kind of place'), this.#kind);
  }

  #showKind(): void {
    const kind = this.#kindNow;
    for (const each of this.#ofThrough) each.visible = kind === 'through';
    // Only a directory of the qube itself can be browsed; the syntax of others depends on the command.
    this.#browse.visible = kind === 'directory';
    this.#location.placeholderText = kind === 'through' ? 'user@example.org:backups' : '';
    this.#changed();
  }

  #changed(): void {
    this.say('');
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
