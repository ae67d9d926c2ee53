import { leftOutSentences } from '../review-page.ts';
import { _, fill, plural, sizeText } from '../texts.ts';
import type { BackupPlan } from '../told.ts';

/** A plan in sentences. */
export function backupPlanSentences(plan: BackupPlan): string[] {
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
    ...leftOutSentences(leftOut),
  ];
}
