import Gdk from 'gi://Gdk?version=3.0';
import GLib from 'gi://GLib?version=2.0';
import GObject from 'gi://GObject?version=2.0';
import Gtk from 'gi://Gtk?version=3.0';
import Pango from 'gi://Pango?version=1.0';
import { iconFor } from './label-icon.ts';
import { _, fill, sizeText } from './texts.ts';
import type { QubeHere, SinceLast } from './coffer-events.ts';

/** The columns of the store. */
const NAME = 0;
const CLASS = 1;
const SIZE = 2;
const BYTES = 3;
const LAST = 4;
const WHEN = 5;
const NOTE = 6;
const COLOUR = 7;
const LABEL = 8;
const ICON = 9;
const TOOLTIP = 10;
const CHANGED = 11;
const COLUMNS = [
  ...[NAME, CLASS, SIZE, BYTES, LAST, WHEN, NOTE, COLOUR, LABEL, ICON, TOOLTIP, CHANGED],
];

/** In characters: `2026-11-25 14:30`. */
const LONGEST_TIME = 16;

/** The red of running VMs, on a light and on a dark background. */
const [RED, LIGHT_RED] = ['#c00000', '#ff8080'];
const DRAGGED = [Gtk.TargetEntry.new('text/plain', Gtk.TargetFlags.SAME_APP, 0)];

/** A row of a list of VMs. */
export interface QubeRow extends QubeHere {
  /** When it was last backed up, for people. */
  readonly last: string;
  /** The same, for sorting; empty for never. */
  readonly lastTime: string;
}

/** A list of VMs, sorted by name, of which several can be chosen; running ones are red. */
export class QubeList {
  readonly widget: Gtk.ScrolledWindow;
  /** Called with the chosen names, when a row is double-clicked or Enter is pressed. */
  activated: (names: readonly string[]) => void = () => undefined;
  readonly #view: Gtk.TreeView;
  readonly #store: Gtk.ListStore;

  /**
   * @param name the accessible name of the list
   * @param isBrief whether there is only room for the most important columns
   */
  constructor(name: string, isBrief = false) {
    const text = GObject.TYPE_STRING;
    this.#store = new Gtk.ListStore();
    this.#store.set_column_types(
      COLUMNS.map((column) => (column === BYTES ? GObject.TYPE_DOUBLE : text)),
    );
    this.#store.set_sort_column_id(NAME, Gtk.SortType.ASCENDING);
    this.#view = new Gtk.TreeView({ model: this.#store, searchColumn: NAME });
    // GTK takes this column as markup, so its text is escaped.
    this.#view.tooltipColumn = TOOLTIP;
    this.#view.get_selection().set_mode(Gtk.SelectionMode.MULTIPLE);
    this.#view.get_accessible().set_name(name);
    this.#addLabel();
    this.#addText(_('Name'), NAME, NAME);
    this.#addText(_('Type'), CLASS, CLASS);
    this.#addText(_('Data'), SIZE, BYTES);
    // The titles are short because two of these lists can be side by side.
    this.#addText(_('New'), CHANGED, CHANGED);
    const last = this.#addText(_('Last backup'), LAST, WHEN);
    if (isBrief) {
      // The whole text is in the tooltip.
      last.ellipsize = Pango.EllipsizeMode.END;
      last.widthChars = LONGEST_TIME;
    }
    if (!isBrief) this.#addText(_('State'), NOTE, NOTE);
    this.#view.connect('row-activated', (_view, path) => {
      // A screen reader can activate a row without choosing it.
      const chosen = this.chosen();
      const activated = this.#namesAt([path]);
      this.activated(activated.every((name) => chosen.includes(name)) ? chosen : activated);
    });
    this.widget = new Gtk.ScrolledWindow({ expand: true, shadowType: Gtk.ShadowType.IN });
    this.widget.add(this.#view);
  }

  show(rows: readonly QubeRow[]): void {
    this.#store.clear();
    const red = this.#isDark() ? LIGHT_RED : RED;
    for (const row of rows) {
      const cells = cellsOf(row, red);
      const filled = COLUMNS.filter((column) => cells[column] !== null);
      const values = filled.map((column) => cells[column] ?? '');
      this.#store.set(this.#store.append(), filled, values);
    }
  }

  /** The names in the chosen rows. */
  chosen(): string[] {
    const [paths] = this.#view.get_selection().get_selected_rows();
    return this.#namesAt(paths);
  }

  #namesAt(paths: readonly Gtk.TreePath[]): string[] {
    return paths.flatMap((path) => {
      const [found, row] = this.#store.get_iter(path);
      return found ? [String(this.#store.get_value(row, NAME))] : [];
    });
  }

  /**
   * Lets rows be dragged from this list, and rows of another list be dropped on it: calls `dropped` with their names.
   */
  exchange(dropped: (names: readonly string[]) => void): void {
    const { MOVE } = Gdk.DragAction;
    this.#view.enable_model_drag_source(Gdk.ModifierType.BUTTON1_MASK, DRAGGED, MOVE);
    this.#view.enable_model_drag_dest(DRAGGED, MOVE);
    this.#view.connect('drag-data-get', (_view, _context, data) =>
      data.set_text(this.chosen().join('\n'), -1),
    );
    this.#view.connect('drag-data-received', (_view, context, _x, _y, data, _info, time) => {
      dropped((data.get_text() ?? '').split('\n').filter((name) => name !== ''));
      Gtk.drag_finish(context, true, false, time);
    });
  }

  /** Whether the user's theme has light text on a dark background. */
  #isDark(): boolean {
    const { red, green, blue } = this.#view.get_style_context().get_color(Gtk.StateFlags.NORMAL);
    return red + green + blue > 1.5;
  }

  /**
   * Adds a column with Qubes' icon for the label or, if that is not installed, its colour; its name is in the tooltip.
   */
  #addLabel(): void {
    const column = new Gtk.TreeViewColumn();
    const icon = new Gtk.CellRendererPixbuf();
    const colour = new Gtk.CellRendererText({ text: '  ' });
    column.pack_start(icon, false);
    column.pack_start(colour, false);
    column.add_attribute(icon, 'icon-name', ICON);
    column.add_attribute(colour, 'cell-background', LABEL);
    this.#view.append_column(column);
  }

  #addText(title: string, index: number, sortedBy: number): Gtk.CellRendererText {
    const column = new Gtk.TreeViewColumn({ title, resizable: true });
    const cell = new Gtk.CellRendererText();
    column.pack_start(cell, true);
    column.add_attribute(cell, 'text', index);
    column.add_attribute(cell, 'foreground', COLOUR);
    // On the background of a selected row, red cannot be read.
    const selection = this.#view.get_selection();
    column.set_cell_data_func(cell, (_column, _cell, _store, row) => {
      if (selection.iter_is_selected(row)) cell.foregroundSet = false;
    });
    column.set_sort_column_id(sortedBy);
    this.#view.append_column(column);
    return cell;
  }
}

/** The cells of a row, in the order of COLUMNS. */
function cellsOf(row: QubeRow, red: string): (string | number | null)[] {
  const { name, class: qubeClass, label, used, last, lastTime } = row;
  const note = isStale(row) ? _('running: its last saved state') : '';
  const icon = iconFor(qubeClass, label);
  return [
    ...[name, qubeClass, used === null ? '' : sizeText(used), used ?? 0, last, lastTime, note],
    isStale(row) ? red : null,
    icon === undefined ? label : null,
    icon ?? null,
    GLib.markup_escape_text(tooltipOf(row, note), -1),
    changeOf(row),
  ];
}

/** Empty if it is unknown. */
function changeOf({ sinceLast }: QubeRow): string {
  if (sinceLast === null) return '';
  return sinceLast === 'changed' ? _('yes') : _('no');
}

function tooltipOf({ name, label, last, sinceLast }: QubeRow, note: string): string {
  const known = sinceLastText(sinceLast);
  const parts = [fill(_('{name}, label {label}'), { name, label }), note, last, known];
  return parts.filter((part) => part !== '').join('\n');
}

/** Whether a VM has changed since its last backup, in words; empty if that is unknown. */
export function sinceLastText(sinceLast: SinceLast): string {
  if (sinceLast === null) return '';
  return sinceLast === 'changed'
    ? _('changed since the last backup')
    : _('unchanged since the last backup');
}

/**
 * Whether the state that is backed up is older than the current one. dom0 always runs; its home is backed up as it is.
 */
export function isStale({ running, class: qubeClass }: QubeHere): boolean {
  return running && qubeClass !== 'AdminVM';
}
