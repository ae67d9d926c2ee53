import Gtk from 'gi://Gtk?version=3.0';
import type { Page } from './wizard.ts';

/** How it ended: a sentence, and details that can be copied. */
export class ResultPage implements Page {
  readonly widget = new Gtk.Box({ orientation: Gtk.Orientation.VERTICAL, spacing: 12 });
  readonly title: string;

  constructor(title: string, isGood: boolean, sentences: readonly string[]) {
    this.title = title;
    const icon = isGood ? 'emblem-ok-symbolic' : 'dialog-warning';
    const image = Gtk.Image.new_from_icon_name(icon, Gtk.IconSize.DIALOG);
    image.halign = Gtk.Align.START;
    this.widget.add(image);
    for (const label of sentences) {
      this.widget.add(new Gtk.Label({ label, xalign: 0, wrap: true, selectable: true }));
    }
  }
}

/** Why nothing came of it. */
export function failurePage(title: string, error: unknown): ResultPage {
  return new ResultPage(title, false, [error instanceof Error ? error.message : String(error)]);
}
