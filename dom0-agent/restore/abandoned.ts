import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../../shared/errors.ts';
import type { Report } from '../../shared/report.ts';
import { HALF_RESTORED } from '../qubes/half-restored.ts';
import type { Qube } from '../qubes/qube.ts';
import type { QubesSystem } from '../qubes/system.ts';
import { isLeftover } from '../qubes/volumes/owner.ts';
import { HALF_RESTORED_HOME } from './dom0-home.ts';
import { isQubeProperty } from './references.ts';
import type { SystemState } from './system-state.ts';

/** The VMs that a coffer which is gone (killed, or lost with the power) has not restored whole. */
export async function abandonedQubes(qubes: Iterable<Qube>): Promise<Qube[]> {
  const abandoned: Qube[] = [];
  for (const qube of qubes) {
    if (await isLeftover(qube.features.get(HALF_RESTORED) ?? '')) abandoned.push(qube);
  }
  return abandoned;
}

/** The system as it will be when the abandoned VMs are removed. */
export function withoutQubes(state: SystemState, removed: readonly Qube[]): SystemState {
  const names = new Set(removed.map(({ name }) => name));
  return { ...state, qubes: new Map([...state.qubes].filter(([name]) => !names.has(name))) };
}

/** Removes abandoned VMs, those first that are based on others. Says so, and when it cannot. */
export async function removeAbandoned(
  qubes: readonly Qube[],
  system: QubesSystem,
  report: Report,
): Promise<void> {
  for (const qube of qubes) await letGo(qube, qubes, system);
  // The newest first: a VM is made after its template.
  for (const { name } of [...qubes].sort((one, other) => other.qid - one.qid)) {
    try {
      await system.remove(name);
      report.info(`${name} was removed: it was restored only in part`);
    } catch (error) {
      report.warning(
        `${name}, which was restored only in part, is still there: ${messageOf(error)}`,
      );
    }
  }
}

/** A VM that another refers to cannot be removed. */
async function letGo(
  { name, properties }: Qube,
  removed: readonly Qube[],
  system: QubesSystem,
): Promise<void> {
  for (const [property, value] of properties) {
    const isReference = isQubeProperty(property) && property !== 'template';
    if (isReference && removed.some((other) => other.name === value)) {
      await system.setProperty(name, property, '');
    }
  }
}

/** Removes what a coffer that is gone has left of dom0's home in `home`. */
export async function removeAbandonedHomes(home: string): Promise<void> {
  for (const name of await readdir(home)) {
    if (name.startsWith(HALF_RESTORED_HOME) && (await isLeftover(name))) {
      await rm(join(home, name), { recursive: true, force: true });
    }
  }
}
