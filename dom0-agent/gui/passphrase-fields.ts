import Gtk from 'gi://Gtk?version=3.0';
import { type Form, say } from './form.ts';
import { type Strength, strengthOf } from './passphrase-strength.ts';
import { _, fill } from './texts.ts';

/** Fields for a passphrase: one for an existing passphrase, two for a new one. */
export class PassphraseFields {
  /** Called when something is typed. */
  changed: () => void = () => undefined;
  readonly #first = passphraseEntry();
  readonly #again = passphraseEntry();
  readonly #againLabel: Gtk.Label;
  readonly #note: Gtk.Label;
  #isNew: boolean;

  constructor(form: Form, isNew = false) {
    this.#isNew = isNew;
    form.field(_('P_assphrase'), this.#first, this.#showButton());
    this.#note = form.note();
    this.#againLabel = form.field(_('Passphrase a_gain'), this.#again);
    for (const widget of [this.#again, this.#againLabel]) widget.noShowAll = true;
    for (const entry of [this.#first, this.#again]) {
      entry.connect('changed', () => {
        this.#show();
        this.changed();
      });
    }
    this.#show();
  }

  get text(): string {
    return this.#first.text;
  }

  set text(text: string) {
    this.#first.text = text;
  }

  /** Whether it is a new passphrase, which must be repeated. */
  get isNew(): boolean {
    return this.#isNew;
  }

  set isNew(isNew: boolean) {
    if (isNew === this.#isNew) return;
    this.#isNew = isNew;
    this.#show();
  }

  missing(): string | undefined {
    if (this.#first.text === '') {
      return this.#isNew ? _('Enter a passphrase.') : _('Enter the passphrase of the backup.');
    }
    if (!this.#isNew || this.#again.text === this.#first.text) return undefined;
    return this.#again.text === ''
      ? _('Enter the passphrase again.')
      : _('The two passphrases differ.');
  }

  /** Shows, at the field, why it was refused. */
  refuse(sentence: string): void {
    say(this.#note, sentence);
    this.#first.grab_focus();
  }

  /** A button that shows what is typed, in both fields. */
  #showButton(): Gtk.ToggleButton {
    const icon = (name: string) => Gtk.Image.new_from_icon_name(name, Gtk.IconSize.BUTTON);
    const button = new Gtk.ToggleButton({ tooltipText: _('Show the passphrase') });
    button.image = icon('view-reveal-symbolic');
    button.get_accessible().set_name(_('Show the passphrase'));
    button.connect('toggled', () => {
      for (const entry of [this.#first, this.#again]) entry.visibility = button.active;
      button.image = icon(button.active ? 'view-conceal-symbolic' : 'view-reveal-symbolic');
    });
    return button;
  }

  #show(): void {
    for (const widget of [this.#again, this.#againLabel]) widget.visible = this.#isNew;
    const isRated = this.#isNew && this.#first.text !== '';
    say(this.#note, isRated ? inWords(strengthOf(this.#first.text)) : '');
  }
}

function inWords(strength: Strength): string {
  const words: Record<Strength, string> = {
    'very weak': _('Very weak: a program would guess it at once.'),
    weak: _('Weak: someone who tries can guess it.'),
    fair: _('Fair: a longer one would be better.'),
    strong: _('Strong.'),
  };
  return fill(_('Strength: {words}'), { words: words[strength] });
}

function passphraseEntry(): Gtk.Entry {
  return new Gtk.Entry({
    ...{ visibility: false, hexpand: true, activatesDefault: true },
    inputPurpose: Gtk.InputPurpose.PASSWORD,
  });
}
