import Gtk from 'gi://Gtk?version=3.0';
import { boldLabel, explain } from './form.ts';
import { _ } from './texts.ts';

/** A page of a wizard. */
export interface Page {
  readonly title: string;
  readonly widget: Gtk.Widget;
  /** Whether there is no page to go back to. */
  readonly isFirst?: boolean;
  /** The label of the button that goes on; without one, the page has no such button. */
  readonly next?: string;
  /** A sentence about why the user cannot go on yet, shown next to the button; undefined: nothing is missing. */
  missing?(): string | undefined;
}

/** What pages need of their wizard. */
export interface Frame {
  /** To be called when the user has changed something: asks the page again what is missing. */
  refresh(): void;
  /** Does the same as the button that goes on. */
  goOn(): void;
}

/**
 * A window that shows one page after the other: a title, the page, and below it the buttons, with a sentence that says
 * why the button that goes on is disabled.
 */
export class Wizard implements Frame {
  readonly window: Gtk.ApplicationWindow;
  readonly #title = boldLabel();
  readonly #content = new Gtk.Box({ orientation: Gtk.Orientation.VERTICAL, expand: true });
  readonly #sentence = new Gtk.Label({ xalign: 0, wrap: true, hexpand: true });
  readonly #back = new Gtk.Button({ label: _('_Back'), useUnderline: true });
  readonly #next = new Gtk.Button({ useUnderline: true, canDefault: true });
  readonly #close = new Gtk.Button({ useUnderline: true });
  #page: Page | undefined;
  #turn: Turn = {};
  #work: Work | undefined;
  #busy: string | undefined;

  constructor(application: Gtk.Application, title: string) {
    this.window = new Gtk.ApplicationWindow({
      ...{ application, title, defaultWidth: 980, defaultHeight: 630 },
    });
    const buttons = new Gtk.Box({ spacing: 6 });
    buttons.add(this.#sentence);
    for (const button of [this.#close, this.#back, this.#next]) buttons.add(button);
    const all = new Gtk.Box({
      ...{ orientation: Gtk.Orientation.VERTICAL, spacing: 12, borderWidth: 12 },
    });
    for (const child of [this.#title, this.#content, buttons]) all.add(child);
    this.window.add(all);
    for (const each of [this.#content, this.#back, this.#next]) explain(each, this.#sentence);
    this.#back.connect('clicked', () => this.#turn.back?.());
    this.#next.connect('clicked', () => this.goOn());
    this.#close.connect('clicked', () => {
      if (this.#work === undefined) this.window.close();
      else this.#confirmStop(this.#work);
    });
    this.window.connect('delete-event', () => {
      if (this.#work !== undefined) this.window.hide();
      return this.#work !== undefined;
    });
    all.show_all();
  }

  /** Shows a page; `turn` says where its buttons lead. */
  show(page: Page, turn: Turn): void {
    this.#page = page;
    this.#turn = turn;
    this.#work = undefined;
    // The window may have been hidden while work went on.
    this.window.present();
    for (const child of this.#content.get_children()) this.#content.remove(child);
    this.#content.add(page.widget);
    page.widget.show_all();
    this.#title.label = page.title;
    this.#next.label = page.next ?? '';
    this.#next.visible = page.next !== undefined && turn.next !== undefined;
    this.#back.visible = turn.back !== undefined;
    this.#close.label = turn.close ?? _('_Cancel');
    this.refresh();
    if (this.#next.visible) this.#next.grab_default();
    page.widget.child_focus(Gtk.DirectionType.TAB_FORWARD);
    // If there is nothing to enter on the page, Enter should press a button.
    if (this.window.get_focus() instanceof Gtk.Label) {
      (this.#next.visible ? this.#next : this.#close).grab_focus();
    }
  }

  /** Shows a page, and resolves when the user goes on (true) or back (false). */
  ask(page: Page): Promise<boolean> {
    return new Promise((resolve) => {
      const next = (): void => resolve(true);
      this.show(page, page.isFirst === true ? { next } : { back: () => resolve(false), next });
    });
  }

  /** Shows a result. Resolves with false when the user goes back; never if the user closes the window. */
  conclude(page: Page, close = _('_Close')): Promise<boolean> {
    return new Promise((resolve) => {
      this.show(page, { back: () => resolve(false), close });
    });
  }

  /** Disables the page while something is found out that the next one needs; the sentence says what. */
  async whileBusy<T>(sentence: string, work: () => Promise<T>): Promise<T> {
    this.#busy = sentence;
    this.refresh();
    try {
      return await work();
    } finally {
      this.#busy = undefined;
      this.refresh();
    }
  }

  /** Shows a page while work is done. If the window is closed, the work goes on, and the next page shows it again. */
  showWork(page: Page, work: Work): void {
    this.show(page, { next: () => this.window.close(), close: _('_Stop…') });
    this.#work = work;
  }

  #confirmStop(work: Work): void {
    const dialog = new Gtk.MessageDialog({
      ...{ transientFor: this.window, modal: true, text: work.stopQuestion },
      messageType: Gtk.MessageType.QUESTION,
    });
    dialog.add_button(_('_Go on'), Gtk.ResponseType.CANCEL);
    dialog.add_button(_('_Stop'), Gtk.ResponseType.OK);
    dialog.connect('response', (from, response) => {
      from.destroy();
      if (response === (Gtk.ResponseType.OK as number)) work.stop();
    });
    dialog.show_all();
  }

  /** Runs steps: the next one after true, the previous one after false. Returns whether the last one was completed. */
  async lead(steps: readonly (() => Promise<boolean>)[]): Promise<boolean> {
    let at = 0;
    for (;;) {
      const step = steps[at];
      if (step === undefined) return at > 0;
      at += (await step()) ? 1 : -1;
    }
  }

  goOn(): void {
    this.#turn.next?.();
  }

  refresh(): void {
    const missing = this.#busy ?? this.#page?.missing?.();
    this.#next.sensitive = missing === undefined;
    this.#back.sensitive = this.#busy === undefined;
    this.#content.sensitive = this.#busy === undefined;
    this.#sentence.label = missing ?? '';
  }
}

/** Where the buttons of a page lead; a button that leads nowhere is not shown. */
export interface Turn {
  readonly back?: () => void;
  readonly next?: () => void;
  /** The label of the button that closes the window. */
  readonly close?: string;
}

/** Work that a window waits for. */
export interface Work {
  readonly stop: () => void;
  /** The question before it is stopped, which says what will happen then. */
  readonly stopQuestion: string;
}
