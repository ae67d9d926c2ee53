import { RefusedError } from '../../shared/errors.ts';
import { isPartlyRestored } from '../qubes/restore-mark.ts';
import {
  type LeftOut,
  calledOrMatching,
  refuseRepeated,
  suggestion,
} from '../qubes/names-from-user.ts';
import { isQubeClass, type Qube, whatItIs } from '../qubes/qube.ts';
import type { ListedQube } from '../qubes/system.ts';

/** Which VMs the user wants to back up; `dom0` stands for dom0's home. */
export interface Selection {
  /** Empty: all except those with `include_in_backups` set to False. */
  readonly chosen: readonly string[];
  readonly excluded: readonly string[];
  /** Left out as well; it is not an error if one of them does not exist. */
  readonly excludedIfThere: readonly string[];
}

/** The VMs that are backed up, in the system's order, including dom0 if its home is. */
export interface Selected {
  readonly qubes: readonly Qube[];
  readonly leftOut: readonly LeftOut[];
}

/**
 * Divides the VMs into those to back up and the others. Throws UsageError for a name given twice; RefusedError for an
 * unknown name, for a VM that was only partly restored, or when nothing is left.
 */
export function selectQubes(
  all: readonly Qube[],
  listed: readonly ListedQube[],
  selection: Selection,
): Selected {
  refuseRepeated(selection.chosen);
  const foreign = listed.filter(({ className }) => !isQubeClass(className));
  refuseForeign(foreign, selection.chosen);
  const ofTheirs = new Set(foreign.map(({ name }) => name));
  refuseUnknown(
    all,
    [...selection.chosen, ...selection.excluded].filter((name) => !ofTheirs.has(name)),
  );
  const qubes: Qube[] = [];
  const leftOut: LeftOut[] = [];
  for (const qube of all) {
    const why = whyLeftOut(qube, selection);
    if (why === undefined) qubes.push(qube);
    else leftOut.push({ name: qube.name, why });
  }
  const half = qubes.find(isPartlyRestored);
  if (half !== undefined) {
    throw new RefusedError(`${half.name} was restored only in part: it is not backed up`);
  }
  if (qubes.length === 0) {
    throw new RefusedError('there is nothing to back up: every VM is left out');
  }
  for (const { name, className } of foreign) leftOut.push({ name, why: `a ${className}` });
  return { qubes, leftOut };
}

/** Throws RefusedError if a VM was chosen whose class cannot be backed up. */
function refuseForeign(foreign: readonly ListedQube[], chosen: readonly string[]): void {
  const named = foreign.find(({ name }) => chosen.includes(name));
  if (named === undefined) return;
  throw new RefusedError(`${named.name} cannot be backed up: ${whatItIs(named)}`);
}

function refuseUnknown(all: readonly Qube[], named: readonly string[]): void {
  const known = all.map(({ name }) => name);
  for (const name of named) {
    if (known.includes(name)) continue;
    throw new RefusedError(
      `there is no VM ${calledOrMatching(name)} on this system${suggestion(name, known)}`,
    );
  }
}

/** Whether a VM is backed up when none is named. */
export function isBackedUpByDefault(qube: Qube): boolean {
  return whyLeftOut(qube, { chosen: [], excluded: [], excludedIfThere: [] }) === undefined;
}

/**
 * Why a VM is left out; undefined for a VM that is backed up. By default, `auto_cleanup` disposables are left out, as
 * in core-admin.
 */
function whyLeftOut(
  qube: Qube,
  { chosen, excluded, excludedIfThere }: Selection,
): string | undefined {
  const { name, properties } = qube;
  if (excluded.includes(name) || excludedIfThere.includes(name)) return 'left out as requested';
  if (chosen.length > 0) return chosen.includes(name) ? undefined : '';
  if (isPartlyRestored(qube)) return 'restored only in part';
  const included = properties.get('include_in_backups');
  if (included === 'True') return undefined;
  if (included !== undefined) return 'include_in_backups is off';
  return properties.get('auto_cleanup') === 'True' ? 'a disposable' : undefined;
}
