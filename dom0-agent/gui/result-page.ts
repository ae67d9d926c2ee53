import Gdk from 'gi://Gdk?version=3.0';
import Gtk from 'gi://Gtk?version=3.0';
import { sentenceLabel } from './form.ts';
import { _ } from './texts.ts';
import type { Page } from './wizard.ts';

/** Something that the user can do after a result. */
export interface Action {
  readonly label: string;
  readonly pressed: () => void;
}

/** How good a result is; `done`: good, but not checked. */
export type Verdict = 'good' | 'done' | 'bad';

const ICONS: Record<Verdict, string> = {
  good: 'emblem-ok-symbolic',
  done: 'dialog-information',
  bad: 'dialog-warning',
};

/** A result: sentences that can be copied, and what the user can do now. */
export class ResultPage implements Page {
  readonly widget = new Gtk.Box({ orientation: Gtk.Orientation.VERTICAL, spacing: 12 });
  readonly title: string;

  /** @param more another widget, below the sentences */
  constructor(
    title: string,
    verdict: Verdict,
    sentences: readonly string[],
    actions: readonly Action[] = [],
    more?: Gtk.Widget,
  ) {
    this.title = title;
    const image = Gtk.Image.new_from_icon_name(ICONS[verdict], Gtk.IconSize.DIALOG);
    image.halign = Gtk.Align.START;
    if (verdict === 'good') makeGreen(image);
    this.widget.add(image);
    const lines = new Gtk.Box({ orientation: Gtk.Orientation.VERTICAL, spacing: 6 });
    for (const sentence of sentences) lines.add(sentenceLabel(sentence));
    const scrolled = new Gtk.ScrolledWindow({ expand: true });
    scrolled.add(lines);
    this.widget.add(scrolled);
    if (more !== undefined) this.widget.add(more);
    const buttons = new Gtk.Box({ spacing: 6 });
    const copy = (): void => copyText([title, ...sentences].join('\n'));
    for (const each of [...actions, { label: _('Copy _details'), pressed: copy }]) {
      buttons.add(buttonOf(each));
    }
    this.widget.add(buttons);
  }
}

/** A page with the reason for a failure. */
export function failurePage(title: string, error: unknown): ResultPage {
  return new ResultPage(title, 'bad', [error instanceof Error ? error.message : String(error)]);
}

function makeGreen(image: Gtk.Image): void {
  const style = new Gtk.CssProvider();
  style.load_from_data('image { color: #26a269; }');
  image.get_style_context().add_provider(style, Gtk.STYLE_PROVIDER_PRIORITY_APPLICATION);
}

function buttonOf({ label, pressed }: Action): Gtk.Button {
  const button = new Gtk.Button({ label, useUnderline: true });
  button.connect('clicked', pressed);
  return button;
}

function copyText(text: string): void {
  const clipboard = Gtk.Clipboard.get(Gdk.Atom.intern('CLIPBOARD', false));
  clipboard.set_text(text, -1);
  clipboard.store();
}
