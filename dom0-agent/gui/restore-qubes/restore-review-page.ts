import Gtk from 'gi://Gtk?version=3.0';
import { sentenceLabel } from '../form.ts';
import { _, fill, sizeText } from '../texts.ts';
import type { RestorePlan } from '../told.ts';
import type { Page } from '../wizard.ts';

/** What will be created, before it is. */
export class RestoreReviewPage implements Page {
  readonly title = _('Is this what you want to restore?');
  readonly next = _('_Restore');
  readonly widget = new Gtk.ScrolledWindow({ expand: true });

  constructor(plan: RestorePlan) {
    const lines = new Gtk.Box({ orientation: Gtk.Orientation.VERTICAL, spacing: 6 });
    for (const sentence of sentencesOf(plan)) lines.add(sentenceLabel(sentence));
    this.widget.add(lines);
  }
}

function sentencesOf({ qubes, dom0Home, leftOut, problems }: RestorePlan): string[] {
  return [
    ...qubes.flatMap(({ name, restoredAs, used, remarks }) => [
      fill(restoredAs === name ? _('{name}, {size}') : _('{name} as {restoredAs}, {size}'), {
        ...{ name, restoredAs, size: sizeText(used) },
      }),
      ...remarks,
    ]),
    ...(dom0Home === null
      ? []
      : [
          fill(_("dom0's home, {size}, to a directory of its own"), {
            size: sizeText(dom0Home.used),
          }),
        ]),
    ...leftOut.map(({ name, why }) =>
      why === ''
        ? fill(_('Left out: {name}'), { name })
        : fill(_('Left out: {name}: {why}'), { name, why }),
    ),
    ...problems.map(({ sentence }) => sentence),
  ];
}
