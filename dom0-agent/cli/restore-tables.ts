import { formatSize } from '../../shared/sizes.ts';
import type { Outcome } from '../contents/outcome.ts';
import { sizeOfVolumes } from '../qubes/qube.ts';
import type { RestorePlan } from '../restore/plan-restore.ts';
import { formatKnownSize, formatTable } from './table.ts';

/** What will be created, under which names and with which replacements; what is left out, and why. */
export function formatRestorePlan({ qubes, dom0Home, dom0Paths, leftOut }: RestorePlan): string {
  const rows = qubes.map(({ source, newQube, remarks }) => [
    source.qube.name,
    newQube.name,
    newQube.qubeClass,
    formatKnownSize(sizeOfVolumes(source.qube)),
    formatSize(source.size),
    remarks.join('; '),
  ]);
  if (dom0Home !== undefined) {
    rows.push(['dom0', 'a new directory', 'home', '', formatSize(dom0Home.size), '']);
  }
  if (dom0Paths !== undefined) {
    const what = dom0Paths.paths.join(', ');
    rows.push(['dom0', 'a new directory', 'configuration', '', formatSize(dom0Paths.size), what]);
  }
  for (const { name, why } of leftOut) rows.push([name, 'left out', '', '', '', why]);
  return formatTable(['VM', 'restored as', 'class', 'size', 'used', ''], rows);
}

/** A sentence about the VMs that failed, or were restored only in part. */
export function describeFailures(outcomes: readonly Outcome[]): string {
  const namesOf = (result: Outcome['result']): string =>
    outcomes
      .filter((each) => each.result === result)
      .map(({ name }) => name)
      .join(', ');
  const [failed, inPart] = [namesOf('failed'), namesOf('restored in part')];
  const lacking = `${inPart} only in part`;
  if (failed === '') return `Restored, but ${lacking}: the table says what is missing.`;
  return `Not everything was restored: ${failed} failed${inPart === '' ? '' : `, ${lacking}`}.`;
}

/** Advice to update restored templates, which are as old as the backup; empty if there are none. */
export function adviceOn({ qubes }: RestorePlan, outcomes: readonly Outcome[]): string {
  const templates = qubes
    .filter(({ newQube }) => newQube.qubeClass === 'TemplateVM')
    .map(({ newQube: { name } }) => name)
    .filter((name) =>
      outcomes.some((each) => each.name === name && each.result.startsWith('restored')),
    );
  if (templates.length === 0) return '';
  return `Update ${templates.join(', ')} before you start a VM that is based on it.`;
}

/** For people: the state after an interrupted restore. */
export function describeRollback(notRolledBack: readonly string[]): string {
  if (notRolledBack.length === 0) return 'all changes have been rolled back';
  return `not everything could be rolled back; these are left: ${notRolledBack.join(', ')}`;
}
