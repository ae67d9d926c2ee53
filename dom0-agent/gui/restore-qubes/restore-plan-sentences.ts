import { leftOutSentences } from '../review-page.ts';
import { _, fill, sizeText } from '../texts.ts';
import type { RestorePlan } from '../told.ts';

/** A plan in sentences. */
export function restorePlanSentences({
  qubes,
  dom0Home,
  leftOut,
  problems,
}: RestorePlan): string[] {
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
    ...leftOutSentences(leftOut),
    ...problems.map(({ sentence }) => sentence),
  ];
}
