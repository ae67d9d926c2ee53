import Gtk from 'gi://Gtk?version=3.0';
import { Form, check, passphraseEntry, qubeChoice, sentenceLabel } from '../form.ts';
import { _ } from '../texts.ts';
import type { Frame, Page } from '../wizard.ts';

/** Where a backup goes, and how. */
export interface Destination {
  readonly vm: string;
  readonly location: string;
  readonly isCommand: boolean;
  readonly encrypt: boolean;
  readonly compress: boolean;
  readonly passphrase: string;
}

/** Where to: a qube, and a directory there or a command; encryption, passphrase. */
export class DestinationPage implements Page {
  readonly title = _('Where is the backup to go?');
  readonly next = _('_Next');
  readonly widget: Gtk.Widget;
  readonly #frame: Frame;
  readonly #vm: Gtk.ComboBoxText;
  readonly #location = new Gtk.Entry({ hexpand: true });
  readonly #isCommand = check(_('This is a co_mmand that takes the backup'));
  readonly #encrypt = check(_('_Encrypt backup'), true);
  readonly #compress = check(_('Com_press backup'), true);
  readonly #passphrase = passphraseEntry();
  readonly #again = passphraseEntry();
  readonly #refused = sentenceLabel();
  readonly #warning = sentenceLabel();

  /** @param vms the qubes that can store a backup, running ones first */
  constructor(frame: Frame, vms: readonly string[]) {
    this.#frame = frame;
    this.#vm = qubeChoice(vms);
    this.widget = this.#form().widget;
    for (const entry of [this.#location, this.#passphrase, this.#again]) {
      entry.connect('changed', () => this.#changed());
    }
    for (const box of [this.#isCommand, this.#encrypt]) {
      box.connect('toggled', () => this.#changed());
    }
    this.#vm.connect('changed', () => this.#changed());
  }

  get destination(): Destination {
    return {
      vm: this.#vm.get_active_id() ?? '',
      location: this.#location.text,
      isCommand: this.#isCommand.active,
      encrypt: this.#encrypt.active,
      compress: this.#compress.active,
      passphrase: this.#passphrase.text,
    };
  }

  missing(): string | undefined {
    if (this.#location.text.trim() === '') return _('Enter a directory, or a command.');
    if (this.#passphrase.text === '') return _('Enter a passphrase.');
    if (this.#again.text !== this.#passphrase.text) return _('The two passphrases differ.');
    return undefined;
  }

  /** Says at the field why it was refused. */
  refuse(sentence: string): void {
    this.#refused.label = sentence;
  }

  #form(): Form {
    const form = new Form();
    form.field(_('_Target qube'), this.#vm);
    form.field(_('_Directory or command'), this.#location);
    form.row(this.#isCommand);
    form.row(this.#refused);
    form.row(this.#encrypt);
    form.row(this.#warning);
    form.row(this.#compress);
    form.field(_('P_assphrase'), this.#passphrase);
    form.field(_('Passphrase a_gain'), this.#again);
    return form;
  }

  #changed(): void {
    this.#refused.label = '';
    this.#warning.label = this.#encrypt.active
      ? ''
      : _(
          'The backup will not be encrypted: whoever has it can read it. The passphrase is then used only to verify it.',
        );
    this.#frame.refresh();
  }
}
