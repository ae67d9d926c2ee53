import Gtk from 'gi://Gtk?version=3.0';
import { sentenceLabel } from './form.ts';
import { _, fill } from './texts.ts';
import type { Page } from './wizard.ts';

/** What will be done, in sentences, before it is. */
export class ReviewPage implements Page {
  readonly title: string;
  readonly next: string;
  readonly widget = new Gtk.ScrolledWindow({ expand: true });

  constructor(title: string, next: string, sentences: readonly string[]) {
    this.title = title;
    this.next = next;
    const lines = new Gtk.Box({ orientation: Gtk.Orientation.VERTICAL, spacing: 6 });
    for (const sentence of sentences) lines.add(sentenceLabel(sentence));
    this.widget.add(lines);
  }
}

/** What is left out of a plan, and why. */
export function leftOutSentences(
  leftOut: readonly { readonly name: string; readonly why: string }[],
): string[] {
  return leftOut.map(({ name, why }) =>
    why === ''
      ? fill(_('Left out: {name}'), { name })
      : fill(_('Left out: {name}: {why}'), { name, why }),
  );
}
