import GObject from 'gi://GObject?version=2.0';
import Gtk from 'gi://Gtk?version=3.0';
import { _, sizeText } from './texts.ts';
import type { QubeHere } from './told.ts';

/** The columns of the store. */
const NAME = 0;
const CLASS = 1;
const SIZE = 2;
const LAST = 3;
const COLOUR = 4;
const LABEL = 5;

const RUNNING = '#c00000';

/** A row of a list of VMs. */
export interface QubeRow extends QubeHere {
  /** When it was last backed up, for people. */
  readonly last: string;
}

/** A list of VMs, sorted by name, of which several can be chosen; running ones are red. */
export class QubeList {
  readonly widget: Gtk.ScrolledWindow;
  /** Called with the chosen names, when a row is double-clicked or Enter is pressed. */
  activated: (names: readonly string[]) => void = () => undefined;
  readonly #view: Gtk.TreeView;
  readonly #store: Gtk.ListStore;

  /** @param name the accessible name of the list */
  constructor(name: string) {
    const text = GObject.TYPE_STRING;
    this.#store = new Gtk.ListStore();
    this.#store.set_column_types([text, text, text, text, text, text]);
    this.#store.set_sort_column_id(NAME, Gtk.SortType.ASCENDING);
    this.#view = new Gtk.TreeView({ model: this.#store, searchColumn: NAME });
    this.#view.get_selection().set_mode(Gtk.SelectionMode.MULTIPLE);
    this.#view.get_accessible().set_name(name);
    this.#addLabel();
    this.#addText(_('Name'), NAME);
    this.#addText(_('Type'), CLASS);
    this.#addText(_('Data'), SIZE);
    this.#addText(_('Last backup'), LAST);
    this.#view.connect('row-activated', () => this.activated(this.chosen()));
    this.widget = new Gtk.ScrolledWindow({ expand: true, shadowType: Gtk.ShadowType.IN });
    this.widget.add(this.#view);
  }

  show(rows: readonly QubeRow[]): void {
    this.#store.clear();
    for (const { name, class: qubeClass, label, running, used, last } of rows) {
      const size = used === null ? '' : sizeText(used);
      // dom0 always runs; of it, the home is backed up as it is.
      const isStale = running && qubeClass !== 'AdminVM';
      const values = [name, qubeClass, size, last, isStale ? RUNNING : null, label];
      this.#store.set(this.#store.append(), [NAME, CLASS, SIZE, LAST, COLOUR, LABEL], values);
    }
  }

  /** The names in the chosen rows. */
  chosen(): string[] {
    const [paths] = this.#view.get_selection().get_selected_rows();
    return paths.flatMap((path) => {
      const [found, row] = this.#store.get_iter(path);
      return found ? [String(this.#store.get_value(row, NAME))] : [];
    });
  }

  /** The label's colour, as a coloured cell; its name is in the tooltip of Qubes' own tools, here in the row. */
  #addLabel(): void {
    const column = new Gtk.TreeViewColumn();
    const cell = new Gtk.CellRendererText({ text: '  ' });
    column.pack_start(cell, false);
    column.add_attribute(cell, 'cell-background', LABEL);
    this.#view.append_column(column);
  }

  #addText(title: string, index: number): void {
    const column = new Gtk.TreeViewColumn({ title, resizable: true });
    const cell = new Gtk.CellRendererText();
    column.pack_start(cell, true);
    column.add_attribute(cell, 'text', index);
    column.add_attribute(cell, 'foreground', COLOUR);
    column.set_sort_column_id(index);
    this.#view.append_column(column);
  }
}
