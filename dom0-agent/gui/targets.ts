import type { QubeHere } from './told.ts';

/** The qubes that backups can go to or come from: running ones first, dom0 last. */
export function targetsIn(qubes: readonly QubeHere[]): string[] {
  const rank = (each: QubeHere): number => (each.class === 'AdminVM' ? 2 : each.running ? 0 : 1);
  return qubes
    .filter((each) => each.class !== 'TemplateVM')
    .sort((one, other) => rank(one) - rank(other) || (one.name < other.name ? -1 : 1))
    .map(({ name }) => name);
}
