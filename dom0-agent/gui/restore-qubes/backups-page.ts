import GObject from 'gi://GObject?version=2.0';
import Gtk from 'gi://Gtk?version=3.0';
import { sentenceLabel } from '../form.ts';
import { _, plural, fill, sizeText, timeText } from '../texts.ts';
import type { BackupsInDirectory, Check, FoundBackup } from '../coffer-events.ts';
import type { Frame, Page } from '../wizard.ts';

const FILE = 0;
const COLUMNS = [_('Backup'), _('Made'), _('Qubes'), _('Size'), _('Checked'), ''];

/** Which backup in a directory, newest first. Files that only hold data of other backups are not shown. */
export class BackupsPage implements Page {
  readonly title = _('Which backup?');
  readonly next = _('_Next');
  readonly widget = new Gtk.Box({ orientation: Gtk.Orientation.VERTICAL, spacing: 6 });
  readonly #view: Gtk.TreeView;
  readonly #store = new Gtk.ListStore();

  constructor(frame: Frame, found: BackupsInDirectory) {
    const backups = found.backups.filter(({ kind }) => kind === 'backup');
    this.#store.set_column_types(COLUMNS.map(() => GObject.TYPE_STRING));
    for (const backup of backups) {
      this.#store.set(this.#store.append(), [...COLUMNS.keys()], cellsOf(backup));
    }
    this.#view = new Gtk.TreeView({ model: this.#store });
    this.#view.get_accessible().set_name(_('Backups'));
    for (const [index, title] of COLUMNS.entries()) {
      const column = new Gtk.TreeViewColumn({ title, resizable: true });
      const cell = new Gtk.CellRendererText();
      column.pack_start(cell, true);
      column.add_attribute(cell, 'text', index);
      this.#view.append_column(column);
    }
    this.#view.get_selection().connect('changed', () => frame.refresh());
    if (backups.length > 0) this.#view.set_cursor(Gtk.TreePath.new_first(), null, false);
    const scrolled = new Gtk.ScrolledWindow({ expand: true, shadowType: Gtk.ShadowType.IN });
    scrolled.add(this.#view);
    // Such as that dom0 knows a newer backup than the storage shows.
    for (const warning of found.warnings) this.widget.add(sentenceLabel(warning));
    this.widget.add(scrolled);
  }

  /** The name of the chosen file. */
  get chosen(): string | undefined {
    const [isChosen, , row] = this.#view.get_selection().get_selected();
    return isChosen && row !== null ? String(this.#store.get_value(row, FILE)) : undefined;
  }

  missing(): string | undefined {
    return this.chosen === undefined ? _('There is no backup here that can be chosen.') : undefined;
  }
}

function cellsOf(backup: FoundBackup): string[] {
  const { name, created, qubes, dom0Home, storedBytes, check, lost, problem } = backup;
  const count = (qubes?.length ?? 0) + (dom0Home === true ? 1 : 0);
  return [
    name,
    created === null ? '' : timeText(created),
    qubes === null ? '' : fill(plural('{n} qube', '{n} qubes', count), { n: count }),
    sizeText(storedBytes),
    checkText(check),
    problem ??
      (lost.length === 0 ? '' : fill(_('data is lost: {names}'), { names: lost.join(', ') })),
  ];
}

function checkText(check: Check | null): string {
  if (check === null) return _('never');
  const time = timeText(check.at);
  return check.result === 'damaged' ? fill(_('{time} (damaged)'), { time }) : time;
}
