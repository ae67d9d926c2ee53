import GObject from 'gi://GObject?version=2.0';
import Gtk from 'gi://Gtk?version=3.0';
import { _, durationText, fill, sizeText } from './texts.ts';
import type { Event, ProgressEvent, QubeEvent } from './told.ts';
import type { Page } from './wizard.ts';

const NAME = 0;
const STATE = 1;

/** What is done with each VM, and how far all of it is. */
export class ProgressPage implements Page {
  readonly widget = new Gtk.Box({ orientation: Gtk.Orientation.VERTICAL, spacing: 6 });
  readonly title: string;
  readonly next = _('_Hide this window');
  readonly #store = new Gtk.ListStore();
  readonly #rows = new Map<string, Gtk.TreeIter>();
  readonly #phase = new Gtk.Label({ xalign: 0, wrap: true });
  readonly #bar = new Gtk.ProgressBar({ showText: true });
  readonly #notices = new Gtk.Label({ xalign: 0, wrap: true, selectable: true });

  constructor(title: string, names: readonly string[]) {
    this.title = title;
    this.#store.set_column_types([GObject.TYPE_STRING, GObject.TYPE_STRING]);
    for (const name of names) {
      const row = this.#store.append();
      this.#store.set(row, [NAME, STATE], [name, _('waiting')]);
      this.#rows.set(name, row);
    }
    const list = new Gtk.ScrolledWindow({ expand: true, shadowType: Gtk.ShadowType.IN });
    list.add(this.#view());
    this.#bar.get_accessible().set_name(_('Progress of all'));
    for (const each of [this.#phase, list, this.#bar, this.#notices]) this.widget.add(each);
  }

  /** Shows what an event tells. */
  tell(event: Event): void {
    if (event.event === 'phase') this.#phase.label = phaseText(event.phase);
    else if (event.event === 'qube') this.#tellOfQube(event);
    else if (event.event === 'progress') this.#tellProgress(event);
    else if (event.event === 'info') this.#phase.label = event.sentence;
    else if (event.event === 'warning') this.#notice(event.sentence);
  }

  #notice(sentence: string): void {
    this.#notices.label = `${this.#notices.label}\n${sentence}`.trim();
  }

  #tellOfQube(event: QubeEvent): void {
    const row = this.#rows.get(event.name);
    if (row !== undefined) this.#store.set(row, [STATE], [stateText(event)]);
  }

  #tellProgress({ bytes, total, rate, secondsLeft }: ProgressEvent): void {
    this.#bar.fraction = total === 0 ? 1 : Math.min(1, bytes / total);
    const texts = [fill(_('{done} of {total}'), { done: sizeText(bytes), total: sizeText(total) })];
    if (rate !== null) texts.push(fill(_('{size} a second'), { size: sizeText(Math.round(rate)) }));
    if (secondsLeft !== null) {
      texts.push(fill(_('{duration} left'), { duration: durationText(secondsLeft) }));
    }
    this.#bar.text = texts.join(', ');
  }

  #view(): Gtk.TreeView {
    const view = new Gtk.TreeView({ model: this.#store });
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
    return view;
  }
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
    look: _('Looking at what is there …'),
    detect: _('Looking for changes …'),
    send: _('Sending data to the storage …'),
    index: _('Sending the lists of what is where …'),
    sync: _('Waiting until the storage has made it durable …'),
    check: _('Checking what was stored …'),
    receive: _('Receiving data from the storage …'),
    settle: _('Applying the settings …'),
  };
  return texts[phase];
}
