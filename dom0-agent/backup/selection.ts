import { RefusedError } from '../../shared/errors.ts';
import { isHalfRestored } from '../qubes/half-restored.ts';
import { refuseRepeated } from '../qubes/names.ts';
import type { Qube } from '../qubes/qube.ts';

/** What the user said about which VMs to back up; `dom0` stands for dom0's home. */
export interface Selection {
  /** Empty: all that have not `include_in_backups` set to False. */
  readonly chosen: readonly string[];
  readonly excluded: readonly string[];
}

/**
 * The VMs to back up, dom0 among them where its home is meant, in the system's order. Throws
 * UsageError for a name given twice, RefusedError for an unknown one or when nothing is left.
 */
export function selectQubes(all: readonly Qube[], { chosen, excluded }: Selection): Qube[] {
  refuseRepeated(chosen);
  const known = new Set(all.map(({ name }) => name));
  for (const name of [...chosen, ...excluded]) {
    if (!known.has(name)) throw new RefusedError(`there is no VM called ${name} on this system`);
  }
  const isMeant =
    chosen.length > 0 ? (qube: Qube): boolean => chosen.includes(qube.name) : isIncluded;
  const selected = all.filter((qube) => isMeant(qube) && !excluded.includes(qube.name));
  const half = selected.find(isHalfRestored);
  if (half !== undefined) {
    throw new RefusedError(`${half.name} was restored only in part: it is not backed up`);
  }
  if (selected.length === 0) {
    throw new RefusedError('there is nothing to back up: every VM is left out');
  }
  return selected;
}

/** Whether a VM belongs in a backup when nobody says so: disposables that vanish do not (core-admin). */
function isIncluded(qube: Qube): boolean {
  if (isHalfRestored(qube)) return false;
  const { properties } = qube;
  const included = properties.get('include_in_backups');
  return included === undefined ? properties.get('auto_cleanup') !== 'True' : included === 'True';
}
