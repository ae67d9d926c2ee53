import Atk from 'gi://Atk?version=1.0';
import Gtk from 'gi://Gtk?version=3.0';
import Pango from 'gi://Pango?version=1.0';

/** Labelled fields, one below the other. */
export class Form {
  readonly widget = new Gtk.Grid({ rowSpacing: 6, columnSpacing: 12 });
  #nextRow = 0;

  /** Adds a field after its label, whose mnemonic leads to it, and `beside` to its right. Returns the label. */
  field(label: string, widget: Gtk.Widget, beside?: Gtk.Widget): Gtk.Label {
    const name = new Gtk.Label({ label, useUnderline: true, xalign: 0, mnemonicWidget: widget });
    this.widget.attach(name, 0, this.#nextRow, 1, 1);
    if (beside !== undefined) this.widget.attach(beside, 2, this.#nextRow, 1, 1);
    this.row(widget);
    return name;
  }

  /** Adds a widget without a label. */
  row(widget: Gtk.Widget): void {
    this.widget.attach(widget, 1, this.#nextRow++, 1, 1);
  }

  /** Adds a place for a sentence about the field above it, which is hidden while it is empty. */
  note(): Gtk.Label {
    const label = sentenceLabel();
    label.noShowAll = true;
    this.row(label);
    return label;
  }
}

/** Shows a sentence in the place that `Form.note` returned. */
export function say(note: Gtk.Label, sentence: string): void {
  note.label = sentence;
  note.visible = sentence !== '';
}

/** Tells screen readers that a label says why a widget is disabled. */
export function explain(widget: Gtk.Widget, label: Gtk.Label): void {
  const { DESCRIBED_BY } = Atk.RelationType;
  widget.get_accessible().add_relationship(DESCRIBED_BY, label.get_accessible());
}

/** A check box. */
export function check(label: string, active = false): Gtk.CheckButton {
  return new Gtk.CheckButton({ label, active, useUnderline: true });
}

/** A sentence that may become long. */
export function sentenceLabel(label = ''): Gtk.Label {
  return new Gtk.Label({ label, xalign: 0, wrap: true, selectable: true, maxWidthChars: 80 });
}

/** A title. */
export function boldLabel(label = ''): Gtk.Label {
  const attributes = new Pango.AttrList();
  attributes.insert(Pango.attr_weight_new(Pango.Weight.BOLD));
  return new Gtk.Label({ label, xalign: 0, wrap: true, attributes });
}
