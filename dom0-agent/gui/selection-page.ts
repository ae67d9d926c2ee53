import Gtk from 'gi://Gtk?version=3.0';
import { Form } from './form.ts';
import { QubeList, type QubeRow, isStale } from './qube-list.ts';
import { _, fill, plural, sizeText } from './texts.ts';
import type { Frame, Page } from './wizard.ts';

/** Selects VMs: those available are on the left, those selected on the right. */
export class SelectionPage implements Page {
  readonly title: string;
  readonly next = _('_Next');
  readonly widget = new Gtk.Box({ orientation: Gtk.Orientation.VERTICAL, spacing: 6 });
  readonly #frame: Frame;
  readonly #rows: readonly QubeRow[];
  readonly #selected: Set<string>;
  readonly #available = new QubeList(_('Available'), true);
  readonly #chosen = new QubeList(_('Selected'), true);
  readonly #filter = new Gtk.SearchEntry({ hexpand: true });
  readonly #total = new Gtk.Label({ xalign: 0, wrap: true });

  /** @param selected the names that are selected at first */
  constructor(
    title: string,
    frame: Frame,
    rows: readonly QubeRow[],
    selected: readonly string[] = [],
  ) {
    this.title = title;
    this.#frame = frame;
    this.#rows = rows;
    this.#selected = new Set(selected);
    this.#available.activated = (names) => this.#select(names);
    this.#chosen.activated = (names) => this.#leaveOut(names);
    this.#available.exchange((names) => this.#leaveOut(names));
    this.#chosen.exchange((names) => this.#select(names));
    this.#filter.connect('search-changed', () => this.#show());
    const filter = new Form();
    filter.field(_('F_ilter by name'), this.#filter);
    this.widget.add(filter.widget);
    this.widget.add(this.#columns());
    this.widget.add(this.#total);
    this.#show();
  }

  /** The names of the selected VMs. */
  get selected(): readonly string[] {
    return this.#rows.flatMap(({ name }) => (this.#selected.has(name) ? [name] : []));
  }

  /** Selects the VMs with these names, and no others. */
  set selected(names: readonly string[]) {
    this.#selected.clear();
    const known = new Set(this.#rows.map(({ name }) => name));
    this.#select(names.filter((name) => known.has(name)));
  }

  missing(): string | undefined {
    return this.#selected.size === 0 ? _('Select at least one qube.') : undefined;
  }

  #columns(): Gtk.Box {
    const columns = new Gtk.Box({ spacing: 6, expand: true });
    columns.add(titled(_('_Available'), this.#available.widget));
    const buttons = new Gtk.Box({
      ...{ orientation: Gtk.Orientation.VERTICAL, spacing: 6, valign: Gtk.Align.CENTER },
    });
    const all = (): string[] => this.#rows.map(({ name }) => name);
    buttons.add(button('>', _('Select'), () => this.#select(this.#available.chosen())));
    buttons.add(button('>>', _('Select all'), () => this.#select(all())));
    buttons.add(button('<', _('Leave out'), () => this.#leaveOut(this.#chosen.chosen())));
    buttons.add(button('<<', _('Leave all out'), () => this.#leaveOut(all())));
    columns.add(buttons);
    columns.add(titled(_('_Selected'), this.#chosen.widget));
    return columns;
  }

  #select(names: readonly string[]): void {
    for (const name of names) this.#selected.add(name);
    this.#show();
  }

  #leaveOut(names: readonly string[]): void {
    for (const name of names) this.#selected.delete(name);
    this.#show();
  }

  #show(): void {
    const wanted = this.#filter.text.toLowerCase();
    const isSelected = ({ name }: QubeRow): boolean => this.#selected.has(name);
    const selected = this.#rows.filter(isSelected);
    this.#available.show(
      this.#rows.filter((row) => !isSelected(row) && row.name.toLowerCase().includes(wanted)),
    );
    this.#chosen.show(selected);
    this.#total.label = this.#totalText(selected);
    this.#frame.refresh();
  }

  #totalText(selected: readonly QubeRow[]): string {
    const bytes = selected.reduce((sum, { used }) => sum + (used ?? 0), 0);
    const left = this.#rows.length - selected.length;
    const sentences = [
      fill(
        plural(
          '{n} qube selected, {size} of data.',
          '{n} qubes selected, {size} of data.',
          selected.length,
        ),
        { n: selected.length, size: sizeText(bytes) },
      ),
      fill(plural('{n} is left out.', '{n} are left out.', left), { n: left }),
    ];
    if (selected.some(({ class: qubeClass }) => qubeClass === 'AdminVM')) {
      sentences.push(_("The size of dom0's home is in the plan."));
    }
    if (this.#rows.some(isStale)) {
      sentences.push(_('The last saved state of running qubes (red) is backed up.'));
    }
    return sentences.join(' ');
  }
}

function titled(title: string, list: Gtk.ScrolledWindow): Gtk.Box {
  const box = new Gtk.Box({ orientation: Gtk.Orientation.VERTICAL, spacing: 3, expand: true });
  const label = new Gtk.Label({ label: title, useUnderline: true, xalign: 0 });
  label.set_mnemonic_widget(list.get_child());
  box.add(label);
  box.add(list);
  return box;
}

function button(label: string, tooltip: string, pressed: () => void): Gtk.Button {
  const made = new Gtk.Button({ label, tooltipText: tooltip });
  made.get_accessible().set_name(tooltip);
  made.connect('clicked', pressed);
  return made;
}
