import Gtk from 'gi://Gtk?version=3.0';
import { sentenceLabel } from './form.ts';
import { _, fill } from './texts.ts';
import type { Page } from './wizard.ts';

/** A sentence, or a table whose rows have the name of a qube, the size of its data, and a remark. */
export type Line = string | readonly (readonly [string, string, string])[];

/** A plan, which the user reviews before it is carried out. */
export class ReviewPage implements Page {
  readonly title: string;
  readonly next: string;
  readonly widget = new Gtk.ScrolledWindow({ expand: true });

  constructor(title: string, next: string, content: readonly Line[]) {
    this.title = title;
    this.next = next;
    const lines = new Gtk.Box({ orientation: Gtk.Orientation.VERTICAL, spacing: 6 });
    for (const line of content) {
      lines.add(typeof line === 'string' ? sentenceLabel(line) : tableOf(line));
    }
    this.widget.add(lines);
  }
}

function tableOf(rows: Exclude<Line, string>): Gtk.Grid {
  const grid = new Gtk.Grid({ columnSpacing: 18, rowSpacing: 3, marginStart: 12 });
  for (const [index, [name, size, remark]] of rows.entries()) {
    const sizeLabel = new Gtk.Label({ label: size, xalign: 1, yalign: 0 });
    const cells = [new Gtk.Label({ label: name, xalign: 0, yalign: 0 }), sizeLabel];
    for (const [column, cell] of cells.entries()) grid.attach(cell, column, index, 1, 1);
    if (remark !== '') grid.attach(sentenceLabel(remark), 2, index, 1, 1);
  }
  return grid;
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
