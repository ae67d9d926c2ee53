import { leftOutSentences } from '../review-page.ts';
import { _, fill, plural, sizeText, timeText } from '../texts.ts';
import type { BackupPlan } from '../told.ts';

/** A plan in sentences. */
export function backupPlanSentences(plan: BackupPlan): string[] {
  const { qubes, dom0Home, location, leftOut, problems } = plan;
  const data = qubes.reduce((sum, { used }) => sum + used, dom0Home?.used ?? 0);
  const count = qubes.length;
  return [
    ...problems.map(({ sentence }) => sentence),
    fill(plural('{n} qube, {size} of data:', '{n} qubes, {size} of data:', count), {
      ...{ n: count, size: sizeText(data) },
    }),
    ...qubes.map(({ name, used, running }) =>
      fill(
        running ? _('{name}, {size}, as it was last saved: it is running') : _('{name}, {size}'),
        { name, size: sizeText(used) },
      ),
    ),
    ...(dom0Home === null
      ? []
      : [fill(_("dom0's home, {size}"), { size: sizeText(dom0Home.used) })]),
    fill(_('It goes to {location}.'), { location }),
    ...sizeSentences(plan),
    ...leftOutSentences(leftOut),
  ];
}

/** How large it will be, and where it is to fit. */
function sizeSentences({
  series,
  leastBytes,
  mostBytes,
  freeBytes,
  ...where
}: BackupPlan): string[] {
  const [least, most] = [sizeText(leastBytes), sizeText(mostBytes)];
  return [
    series === null
      ? fill(_('It will take between {least} and {most} there.'), { least, most })
      : seriesSentence(series),
    ...(freeBytes === null ? [] : [freeSentence(freeBytes)]),
    ...(where.startsVm ? [startSentence(where.vm)] : []),
  ];
}

/** What a backup goes on from. */
export function seriesSentence({
  backups,
  last,
  sentBytes,
}: NonNullable<BackupPlan['series']>): string {
  if (backups === 0) {
    const sentence = _('It goes on from what an interrupted backup has sent, {size}.');
    return fill(sentence, { size: sizeText(sentBytes) });
  }
  const sentence = plural(
    'It goes on from the backup of {last} that is there: only what changed since is stored.',
    'It goes on from the {n} backups that are there, the last of {last}: only what changed since is stored.',
    backups,
  );
  return fill(sentence, { n: backups, last: timeText(last) });
}

export function freeSentence(bytes: number): string {
  return fill(_('{size} is free there.'), { size: sizeText(bytes) });
}

export function startSentence(qube: string): string {
  return fill(_('{qube} will be started for it.'), { qube });
}
