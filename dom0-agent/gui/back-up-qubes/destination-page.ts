import Gtk from 'gi://Gtk?version=3.0';
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
  readonly widget = new Gtk.Grid({ rowSpacing: 6, columnSpacing: 12 });
  readonly #frame: Frame;
  readonly #vm = new Gtk.ComboBoxText();
  readonly #location = new Gtk.Entry({ hexpand: true });
  readonly #isCommand = new Gtk.CheckButton({
    label: _('This is a co_mmand that takes the backup'),
    useUnderline: true,
  });
  readonly #encrypt = new Gtk.CheckButton({
    ...{ label: _('_Encrypt backup'), useUnderline: true, active: true },
  });
  readonly #compress = new Gtk.CheckButton({
    ...{ label: _('Com_press backup'), useUnderline: true, active: true },
  });
  readonly #passphrase = passphraseEntry();
  readonly #again = passphraseEntry();
  readonly #refused = new Gtk.Label({ xalign: 0, wrap: true });
  readonly #warning = new Gtk.Label({ xalign: 0, wrap: true });

  /** @param vms the qubes that can store a backup, running ones first */
  constructor(frame: Frame, vms: readonly string[]) {
    this.#frame = frame;
    for (const vm of vms) this.#vm.append(vm, vm);
    this.#vm.active = 0;
    this.#field(_('_Target qube'), this.#vm);
    this.#field(_('_Directory or command'), this.#location);
    this.#row(this.#isCommand);
    this.#row(this.#refused);
    this.#row(this.#encrypt);
    this.#row(this.#warning);
    this.#row(this.#compress);
    this.#field(_('P_assphrase'), this.#passphrase);
    this.#field(_('Passphrase a_gain'), this.#again);
    for (const entry of [this.#location, this.#passphrase, this.#again]) {
      entry.connect('changed', () => this.#changed());
    }
    for (const check of [this.#isCommand, this.#encrypt]) {
      check.connect('toggled', () => this.#changed());
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

  #changed(): void {
    this.#refused.label = '';
    this.#warning.label = this.#encrypt.active
      ? ''
      : _(
          'The backup will not be encrypted: whoever has it can read it. The passphrase is then used only to verify it.',
        );
    this.#frame.refresh();
  }

  #field(label: string, widget: Gtk.Widget): void {
    const row = this.#nextRow++;
    const name = new Gtk.Label({ label, useUnderline: true, xalign: 0, mnemonicWidget: widget });
    this.widget.attach(name, 0, row, 1, 1);
    this.widget.attach(widget, 1, row, 1, 1);
  }

  #nextRow = 0;

  #row(widget: Gtk.Widget): void {
    this.widget.attach(widget, 1, this.#nextRow++, 1, 1);
  }
}

function passphraseEntry(): Gtk.Entry {
  const entry = new Gtk.Entry({
    ...{ visibility: false, hexpand: true, inputPurpose: Gtk.InputPurpose.PASSWORD },
    secondaryIconName: 'view-reveal-symbolic',
    secondaryIconTooltipText: _('Show or hide the passphrase'),
  });
  entry.connect('icon-press', () => {
    entry.visibility = !entry.visibility;
  });
  return entry;
}
