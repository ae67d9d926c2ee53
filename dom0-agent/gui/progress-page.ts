import GObject from 'gi://GObject?version=2.0';
import Gtk from 'gi://Gtk?version=3.0';
import { sentenceLabel } from './form.ts';
import { _, durationText, fill, sizeText } from './texts.ts';
import type { Event, ProgressEvent, QubeEvent } from './coffer-events.ts';
import type { Page } from './wizard.ts';

const NAME = 0;
const STATE = 1;

/** The state of each VM, and the overall progress. */
export class ProgressPage implements Page {
  readonly widget = new Gtk.Box({ orientation: Gtk.Orientation.VERTICAL, spacing: 6 });
  readonly title: string;
  readonly next = _('_Hide this window');
  readonly #store = new Gtk.ListStore();
  readonly #rows = new Map<string, Gtk.TreeIter>();
  readonly #said = new Map<string, QubeEvent>();
  /** The state of a VM before its first event. */
  #beforeFirst = _('waiting');
  readonly #list = new Gtk.TreeView();
  readonly #details = sentenceLabel();
  #phaseText = '';
  readonly #phase = new Gtk.Label({ xalign: 0, wrap: true });
  readonly #bar = new Gtk.ProgressBar();
  /** Themes show the text of a bar in a colour that is hard to read. */
  readonly #barText = new Gtk.Label({ xalign: 0, wrap: true });
  readonly #notices = new Gtk.Label({ xalign: 0, wrap: true, selectable: true });

  /** @param afterwards lets the user choose what to do afterwards */
  constructor(title: string, afterwards?: Gtk.Widget) {
    this.title = title;
    this.#store.set_column_types([GObject.TYPE_STRING, GObject.TYPE_STRING]);
    const list = new Gtk.ScrolledWindow({ expand: true, shadowType: Gtk.ShadowType.IN });
    this.#addColumns();
    list.add(this.#list);
    this.#list.get_selection().connect('changed', () => this.#showDetails());
    this.#details.widthChars = 32;
    this.#details.yalign = 0;
    const both = new Gtk.Box({ spacing: 12, expand: true });
    both.add(list);
    both.add(this.#details);
    this.#bar.get_accessible().set_name(_('Overall progress'));
    for (const each of [this.#phase, both, this.#bar, this.#barText, this.#notices])
      this.widget.add(each);
    if (afterwards !== undefined) this.widget.add(afterwards);
    this.#showDetails();
  }

  /** Shows that these VMs are waiting for their turn. */
  expect(names: readonly string[]): void {
    for (const name of names) this.#rowOf(name);
  }

  /** Shows an event. */
  tell(event: Event): void {
    if (event.event === 'phase') this.#tellPhase(event.phase);
    // An info, such as that a qube is being started, is shown until the next event.
    this.#phase.label = event.event === 'info' ? event.sentence : this.#phaseText;
    if (event.event === 'qube') this.#tellOfQube(event);
    else if (event.event === 'progress') this.#tellProgress(event);
    else if (event.event === 'warning') this.#notice(event.sentence);
  }

  #tellPhase(phase: Phase): void {
    this.#phaseText = phaseText(phase);
    this.#beforeFirst = phase === 'detect' ? _('looking for changes') : _('waiting');
    for (const [name, row] of this.#rows) {
      if (!this.#said.has(name)) this.#store.set(row, [STATE], [this.#beforeFirst]);
    }
    this.#showDetails();
  }

  #notice(sentence: string): void {
    this.#notices.label = `${this.#notices.label}\n${sentence}`.trim();
  }

  #tellOfQube(event: QubeEvent): void {
    this.#store.set(this.#rowOf(event.name), [STATE], [stateText(event)]);
    this.#said.set(event.name, event);
    this.#showDetails();
  }

  #rowOf(name: string): Gtk.TreeIter {
    const known = this.#rows.get(name);
    if (known !== undefined) return known;
    const row = this.#store.append();
    this.#store.set(row, [NAME, STATE], [name, this.#beforeFirst]);
    this.#rows.set(name, row);
    return row;
  }

  /** Shows everything that is known about the selected VM. */
  #showDetails(): void {
    const [isSelected, , row] = this.#list.get_selection().get_selected();
    const name = isSelected && row !== null ? String(this.#store.get_value(row, NAME)) : undefined;
    const event = name === undefined ? undefined : this.#said.get(name);
    this.#details.label =
      name === undefined
        ? _('Select a qube to see details.')
        : event === undefined
          ? `${name}: ${this.#beforeFirst}`
          : detailsOf(event).join('\n');
  }

  #tellProgress({ bytes, total, rate, secondsLeft }: ProgressEvent): void {
    this.#bar.fraction = total === 0 ? 1 : Math.min(1, bytes / total);
    const texts = [fill(_('{done} of {total}'), { done: sizeText(bytes), total: sizeText(total) })];
    if (rate !== null) texts.push(fill(_('{size} a second'), { size: sizeText(Math.round(rate)) }));
    if (secondsLeft !== null) {
      texts.push(fill(_('{duration} left'), { duration: durationText(secondsLeft) }));
    }
    this.#barText.label = texts.join(', ');
  }

  #addColumns(): void {
    const view = this.#list;
    view.model = this.#store;
    view.get_accessible().set_name(_('Qubes and their states'));
    for (const [title, index] of [
      [_('Qube'), NAME],
      [_('State'), STATE],
    ] as const) {
      const column = new Gtk.TreeViewColumn({ title, resizable: true });
      const cell = new Gtk.CellRendererText();
      column.pack_start(cell, true);
      column.add_attribute(cell, 'text', index);
      view.append_column(column);
    }
  }
}

function detailsOf({ name, state, what, read, new: fresh, total }: QubeEvent): string[] {
  return [
    name,
    ...(what === null ? [] : [what]),
    fill(_('Read: {done} of {total}'), { done: sizeText(read), total: sizeText(total) }),
    ...(state === 'failed' ? [] : [fill(_('New: {size}'), { size: sizeText(fresh) })]),
  ];
}

function stateText({ state, what, read, new: fresh, total }: QubeEvent): string {
  switch (state) {
    case 'working':
      return fill(_('{done} of {total}'), { done: sizeText(read), total: sizeText(total) });
    case 'done':
      return fill(_('done: {size} new'), { size: sizeText(fresh) });
    case 'failed':
      return fill(_('failed: {why}'), { why: what ?? '' });
  }
}

type Phase = Extract<Event, { event: 'phase' }>['phase'];

function phaseText(phase: Phase): string {
  const texts: Record<Phase, string> = {
    look: _('Checking what is already there …'),
    detect: _('Looking for changes …'),
    send: _('Sending data to the storage …'),
    index: _('Sending the index …'),
    sync: _('Waiting for the storage to write everything to disk …'),
    check: _('Checking what was stored …'),
    receive: _('Receiving data from the storage …'),
    settle: _('Applying the settings …'),
  };
  return texts[phase];
}
