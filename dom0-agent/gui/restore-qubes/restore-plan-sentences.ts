import { type Line, leftOutSentences } from '../review-page.ts';
import { _, fill, sizeText } from '../texts.ts';
import type { Dom0Paths, RestorePlan } from '../coffer-events.ts';

/** The plan of a restore, for people. */
export function restorePlanSentences({
  qubes,
  dom0Home,
  dom0Paths,
  leftOut,
  problems,
}: RestorePlan): Line[] {
  return [
    ...problems.map(({ sentence }) => sentence),
    [
      ...qubes.map(
        ({ name, restoredAs, used, remarks }) =>
          [
            restoredAs === name ? name : fill(_('{name} as {restoredAs}'), { name, restoredAs }),
            ...[sizeText(used), remarks.join('; ')],
          ] as const,
      ),
      ...(dom0Home === null
        ? []
        : [['dom0', sizeText(dom0Home.used), _('its home, to a separate directory')] as const]),
      ...(dom0Paths === null
        ? []
        : [['dom0', sizeText(dom0Paths.used), configurationRemark(dom0Paths)] as const]),
    ],
    ...leftOutSentences(leftOut),
  ];
}

function configurationRemark({ paths }: Dom0Paths): string {
  const sentence = _('its configuration, to a separate directory: {paths}');
  return fill(sentence, { paths: paths.join(', ') });
}
