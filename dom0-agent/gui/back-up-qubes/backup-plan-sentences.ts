import { sinceLastText } from '../qube-list.ts';
import { type Line, leftOutSentences } from '../review-page.ts';
import { _, durationText, fill, plural, sizeText, timeText } from '../texts.ts';
import type { BackupPlan } from '../coffer-events.ts';

/** The plan of a backup, for people. */
export function backupPlanSentences(plan: BackupPlan): Line[] {
  const { qubes, location, leftOut, problems } = plan;
  const ofDom0 = dom0Rows(plan);
  const data = [...qubes, ...ofDom0].reduce((sum, { used }) => sum + used, 0);
  // dom0 counts as one, as on the page where the qubes were selected.
  const count = qubes.length + Math.min(ofDom0.length, 1);
  return [
    ...problems.map(({ sentence }) => sentence),
    fill(plural('{n} qube, {size} of data:', '{n} qubes, {size} of data:', count), {
      ...{ n: count, size: sizeText(data) },
    }),
    [
      ...qubes.map((qube) => [qube.name, sizeText(qube.used), remarkOn(qube)] as const),
      ...ofDom0.map(({ used, remark }) => ['dom0', sizeText(used), remark] as const),
    ],
    fill(_('It goes to {location}.'), { location }),
    ...sizeSentences(plan),
    ...(plan.series === null ? [] : costSentences(plan, data)),
    ...leftOutSentences(leftOut),
  ];
}

function dom0Rows({ dom0Home, dom0Paths }: Pick<BackupPlan, 'dom0Home' | 'dom0Paths'>) {
  return [
    ...(dom0Home === null ? [] : [{ used: dom0Home.used, remark: _('its home') }]),
    ...(dom0Paths === null
      ? []
      : [
          {
            used: dom0Paths.used,
            remark: fill(_('its configuration: {paths}'), { paths: dom0Paths.paths.join(', ') }),
          },
        ]),
  ];
}

function remarkOn({ running, sinceLast, used, changed }: BackupPlan['qubes'][number]): string {
  const isNew = changed !== null && changed > 0 && changed === used;
  const remarks = [
    running ? _('running: its last saved state') : '',
    isNew ? _('not in the earlier backups: all of it is new') : sinceLastText(sinceLast),
  ];
  return remarks.filter((remark) => remark !== '').join('; ');
}

/** How large the backup will be, and how much space there is. */
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

/**
 * How much work a backup that continues a series will be, as far as that is known.
 *
 * @param data bytes of all its data, changed or not
 */
function costSentences({ mostRead, mostSeconds, lastEffort }: BackupPlan, data: number): string[] {
  const most = { size: sizeText(mostRead) };
  return [
    ...(mostRead < data
      ? [
          fill(
            _('At most {size} of the data has to be read, unless the storage has lost any of it.'),
            most,
          ),
        ]
      : []),
    ...(mostSeconds === null || mostRead === 0
      ? []
      : [
          fill(
            _(
              'If all of that has to be read, it takes about {duration}, at the speed of an earlier backup.',
            ),
            { duration: durationText(mostSeconds) },
          ),
        ]),
    ...(lastEffort === null
      ? []
      : [
          fill(_('The last backup took {duration}: {read} was read, {new} was new.'), {
            duration: durationText(lastEffort.seconds),
            ...{ read: sizeText(lastEffort.read), new: sizeText(lastEffort.new) },
          }),
        ]),
  ];
}

/** What a backup continues from. */
export function seriesSentence({
  backups,
  last,
  sentBytes,
}: NonNullable<BackupPlan['series']>): string {
  if (backups === 0) {
    const sentence = _('It continues from what an interrupted backup had sent, {size}.');
    return fill(sentence, { size: sizeText(sentBytes) });
  }
  const sentence = plural(
    'It continues from the backup there, made {last}: only what has changed since is stored.',
    'It continues from the {n} backups there, the last one made {last}: only what has changed since is stored.',
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
