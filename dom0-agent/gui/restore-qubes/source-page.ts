import Gtk from 'gi://Gtk?version=3.0';
import { Form, check, passphraseEntry, qubeChoice, sentenceLabel } from '../form.ts';
import { _ } from '../texts.ts';
import type { Frame, Page } from '../wizard.ts';

/** Where a backup is, and its passphrase. */
export interface Source {
  readonly vm: string;
  readonly location: string;
  readonly isCommand: boolean;
  readonly passphrase: string;
}

/** Where the backup is: a qube, and a directory or file there, or a command. */
export class SourcePage implements Page {
  readonly title = _('Where is the backup?');
  readonly isFirst = true;
  readonly next = _('_Next');
  readonly widget: Gtk.Widget;
  readonly #vm: Gtk.ComboBoxText;
  readonly #location = new Gtk.Entry({ hexpand: true });
  readonly #isCommand = check(_('This is a co_mmand that outputs the backup'));
  readonly #passphrase = passphraseEntry();
  readonly #refused = sentenceLabel();
  readonly #wrongPassphrase = sentenceLabel();

  /** @param vms the qubes that may have a backup, running ones first */
  constructor(frame: Frame, vms: readonly string[]) {
    this.#vm = qubeChoice(vms);
    const form = new Form();
    form.field(_('_Qube'), this.#vm);
    form.field(_('_Directory, file or command'), this.#location);
    form.row(this.#isCommand);
    form.row(this.#refused);
    form.field(_('P_assphrase'), this.#passphrase);
    form.row(this.#wrongPassphrase);
    this.widget = form.widget;
    const changed = (): void => {
      this.#refused.label = '';
      this.#wrongPassphrase.label = '';
      frame.refresh();
    };
    this.#vm.connect('changed', changed);
    this.#isCommand.connect('toggled', changed);
    for (const entry of [this.#location, this.#passphrase]) entry.connect('changed', changed);
  }

  get source(): Source {
    return {
      vm: this.#vm.get_active_id() ?? '',
      location: this.#location.text,
      isCommand: this.#isCommand.active,
      passphrase: this.#passphrase.text,
    };
  }

  missing(): string | undefined {
    if (this.#location.text.trim() === '') return _('Enter a directory, a file or a command.');
    if (this.#passphrase.text === '') return _('Enter the passphrase of the backup.');
    return undefined;
  }

  /** Says at the field why it was refused. */
  refuse(field: string | null, sentence: string): void {
    const label = field === 'passphrase' ? this.#wrongPassphrase : this.#refused;
    label.label = sentence;
  }
}
