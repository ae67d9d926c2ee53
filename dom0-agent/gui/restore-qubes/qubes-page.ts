import Gtk from 'gi://Gtk?version=3.0';
import { boldLabel, check, sentenceLabel, say } from '../form.ts';
import { _, fill, plural, sizeText } from '../texts.ts';
import type { BackupContents, ContainedQube, Dom0Paths } from '../coffer-events.ts';
import type { Frame, Page } from '../wizard.ts';
import { QubeFields } from './qube-fields.ts';
import type { Lacking } from './options-page.ts';
import type { SystemHere } from './system-here.ts';

/** Which VMs of a backup, under which names and on which templates. */
export class QubesPage implements Page {
  readonly title = _('Which qubes do you want to restore?');
  readonly next = _('_Next');
  readonly widget = new Gtk.Box({ orientation: Gtk.Orientation.VERTICAL, spacing: 6 });
  readonly #frame: Frame;
  readonly #rows: readonly QubeFields[];
  readonly #filter = new Gtk.SearchEntry({ hexpand: true });
  readonly #total = new Gtk.Label({ xalign: 0, wrap: true });
  readonly #refused = sentenceLabel();
  readonly #verifyOnly = check(
    _('_Verify only: everything is read and checked, nothing is restored'),
  );

  constructor(frame: Frame, contents: BackupContents, here: SystemHere) {
    this.#frame = frame;
    const names = new Set(contents.qubes.map(({ name }) => name));
    this.#rows = rowsOf(contents).map((qube) => new QubeFields(qube, here, names));
    for (const row of this.#rows) {
      row.changed = () => this.#changed();
      row.insteadChosen = (missing, instead) => {
        // The others that lack the same get the same replacement, unless another one was chosen for them.
        for (const other of this.#rows) if (other !== row) other.offer(missing, instead);
      };
    }
    this.#filter.connect('search-changed', () => this.#showFiltered());
    this.#verifyOnly.connect('toggled', () => this.#changed());
    this.#refused.noShowAll = true;
    this.widget.connect('map', () => this.#showFiltered());
    const unusable = contents.unusable.map(({ name, why }) =>
      sentenceLabel(fill(_('{name} cannot be restored: {why}'), { name, why })),
    );
    const below = [this.#total, this.#verifyOnly, this.#refused];
    for (const each of [this.#above(), this.#table(), ...unusable, ...below]) this.widget.add(each);
    this.#changed();
  }

  /** The names of the selected VMs. */
  get selected(): readonly string[] {
    return this.#selectedRows.map(({ name }) => name);
  }

  /** Whether to verify only, and restore nothing. */
  get verifiesOnly(): boolean {
    return this.#verifyOnly.active;
  }

  /** The command's options for individual VMs. */
  get options(): string[] {
    return this.#selectedRows.flatMap((row) => row.options);
  }

  /** A selected VM that lacks something for which no replacement is chosen. */
  get lacking(): Lacking | undefined {
    return this.#selectedRows.flatMap(({ name, lacks }) =>
      lacks === undefined ? [] : [{ name, lacks }],
    )[0];
  }

  missing(): string | undefined {
    const rows = this.#selectedRows;
    if (rows.length === 0) return _('Select at least one qube.');
    if (this.verifiesOnly) return undefined;
    const names = rows.map(({ newName }) => newName);
    const isTwice = (name: string): boolean => names.indexOf(name) !== names.lastIndexOf(name);
    for (const row of rows) {
      const missing = row.missing();
      if (missing !== undefined) return missing;
      const { newName } = row;
      if (isTwice(newName)) {
        return fill(_('Two qubes cannot both be called {name}: change one.'), { name: newName });
      }
    }
    return undefined;
  }

  /** Shows why something was refused: at the row of a VM, or below the rows if it is not about one VM. */
  refuse(name: string | undefined, sentence: string): void {
    const row = this.#rows.find((each) => each.name === name);
    if (row === undefined) say(this.#refused, sentence);
    else row.refuse(sentence);
  }

  get #selectedRows(): readonly QubeFields[] {
    return this.#rows.filter(({ isSelected }) => isSelected);
  }

  #above(): Gtk.Box {
    const box = new Gtk.Box({ spacing: 6 });
    const label = new Gtk.Label({ label: _('F_ilter by name'), useUnderline: true });
    label.set_mnemonic_widget(this.#filter);
    box.add(label);
    box.add(this.#filter);
    for (const [text, isSelected] of [
      [_('Select _all'), true],
      [_('Select n_one'), false],
    ] as const) {
      const button = new Gtk.Button({ label: text, useUnderline: true });
      button.connect('clicked', () => this.#selectAll(isSelected));
      box.add(button);
    }
    return box;
  }

  #table(): Gtk.ScrolledWindow {
    const grid = new Gtk.Grid({ columnSpacing: 12, rowSpacing: 3, borderWidth: 6 });
    const titles = [_('Qube'), _('Type'), _('Data'), _('Template'), _('Name here')];
    for (const [column, title] of titles.entries()) {
      grid.attach(boldLabel(title), column, 0, 1, 1);
    }
    for (const [index, row] of this.#rows.entries()) row.attachTo(grid, 1 + 2 * index);
    const scrolled = new Gtk.ScrolledWindow({ expand: true, shadowType: Gtk.ShadowType.IN });
    scrolled.add(grid);
    return scrolled;
  }

  /** Selects or deselects all rows that the filter shows. */
  #selectAll(isSelected: boolean): void {
    for (const row of this.#rows) if (row.isShown) row.isSelected = isSelected;
  }

  #showFiltered(): void {
    const wanted = this.#filter.text.toLowerCase();
    for (const row of this.#rows) row.isShown = row.name.toLowerCase().includes(wanted);
  }

  #changed(): void {
    const selected = this.#selectedRows;
    const restored = new Set(selected.map(({ name }) => name));
    for (const row of this.#rows) row.show(restored, this.verifiesOnly);
    const bytes = selected.reduce((sum, { used }) => sum + used, 0);
    this.#total.label = fill(
      plural(
        '{n} qube selected, {size} of data.',
        '{n} qubes selected, {size} of data.',
        selected.length,
      ),
      { n: selected.length, size: sizeText(bytes) },
    );
    say(this.#refused, '');
    this.#frame.refresh();
  }
}

/** The VMs; then dom0, with its home and its configuration in one row. */
function rowsOf({ qubes, dom0Home, dom0Paths }: BackupContents): ContainedQube[] {
  const sorted = [...qubes].sort((one, other) => one.name.localeCompare(other.name));
  if (dom0Home === null && dom0Paths === null) return sorted;
  const remarks = [
    ...(dom0Home === null
      ? []
      : [_("Its home is restored to a new directory in dom0's home: nothing is overwritten.")]),
    ...(dom0Paths === null ? [] : [configurationSentence(dom0Paths)]),
  ];
  const used = (dom0Home?.used ?? 0) + (dom0Paths?.used ?? 0);
  const dom0 = { name: 'dom0', class: 'AdminVM', label: 'black', template: null, references: [] };
  return [...sorted, { ...dom0, used, remarks }];
}

function configurationSentence({ paths }: Dom0Paths): string {
  const sentence = _(
    "Its configuration is restored to a new directory in dom0's home, for you to compare: {paths}.",
  );
  return fill(sentence, { paths: paths.join(', ') });
}
