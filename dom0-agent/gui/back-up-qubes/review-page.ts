import Gtk from 'gi://Gtk?version=3.0';
import { _, fill, plural, sizeText } from '../texts.ts';
import type { BackupPlan } from '../told.ts';
import type { Page } from '../wizard.ts';

/** What will be done, before it is. */
export class ReviewPage implements Page {
  readonly title = _('Is this what you want to back up?');
  readonly next = _('Back _up');
  readonly widget = new Gtk.ScrolledWindow({ expand: true });

  constructor(plan: BackupPlan) {
    const lines = new Gtk.Box({ orientation: Gtk.Orientation.VERTICAL, spacing: 6 });
    for (const sentence of sentencesOf(plan)) {
      lines.add(new Gtk.Label({ label: sentence, xalign: 0, wrap: true, selectable: true }));
    }
    this.widget.add(lines);
  }
}

function sentencesOf(plan: BackupPlan): string[] {
  const { qubes, dom0Home, location, freeBytes, leastBytes, mostBytes, leftOut, problems } = plan;
  const data = qubes.reduce((sum, { used }) => sum + used, dom0Home?.used ?? 0);
  const count = qubes.length;
  return [
    fill(plural('{n} qube, {size} of data:', '{n} qubes, {size} of data:', count), {
      ...{ n: count, size: sizeText(data) },
    }),
    ...qubes.map(({ name, used, running }) =>
      fill(
        running ? _('{name}, {size}, as it was last saved: it is running') : _('{name}, {size}'),
        {
          ...{ name, size: sizeText(used) },
        },
      ),
    ),
    ...(dom0Home === null
      ? []
      : [fill(_("dom0's home, {size}"), { size: sizeText(dom0Home.used) })]),
    fill(_('It goes to {location}.'), { location }),
    fill(_('The backup will have between {least} and {most}.'), {
      ...{ least: sizeText(leastBytes), most: sizeText(mostBytes) },
    }),
    ...(freeBytes === null
      ? []
      : [fill(_('{size} are free there.'), { size: sizeText(freeBytes) })]),
    ...problems.map(({ sentence }) => sentence),
    ...leftOut.map(({ name, why }) =>
      why === ''
        ? fill(_('Left out: {name}'), { name })
        : fill(_('Left out: {name}: {why}'), { name, why }),
    ),
  ];
}
