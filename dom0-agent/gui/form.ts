import Gtk from 'gi://Gtk?version=3.0';
import { _ } from './texts.ts';

/** Labelled fields below each other. */
export class Form {
  readonly widget = new Gtk.Grid({ rowSpacing: 6, columnSpacing: 12 });
  #nextRow = 0;

  /** A field behind its label, whose mnemonic leads to it. */
  field(label: string, widget: Gtk.Widget): void {
    const name = new Gtk.Label({ label, useUnderline: true, xalign: 0, mnemonicWidget: widget });
    this.widget.attach(name, 0, this.#nextRow, 1, 1);
    this.row(widget);
  }

  /** What needs no label. */
  row(widget: Gtk.Widget): void {
    this.widget.attach(widget, 1, this.#nextRow++, 1, 1);
  }
}

/** A choice of one qube. */
export function qubeChoice(names: readonly string[]): Gtk.ComboBoxText {
  const choice = new Gtk.ComboBoxText();
  for (const name of names) choice.append(name, name);
  choice.active = 0;
  return choice;
}

/** A check box. */
export function check(label: string, active = false): Gtk.CheckButton {
  return new Gtk.CheckButton({ label, active, useUnderline: true });
}

/** A sentence that may become long. */
export function sentenceLabel(label = ''): Gtk.Label {
  return new Gtk.Label({ label, xalign: 0, wrap: true, selectable: true });
}

/** An entry whose text is hidden, until its button is pressed. */
export function passphraseEntry(): Gtk.Entry {
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
