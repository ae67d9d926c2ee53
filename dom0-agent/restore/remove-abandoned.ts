import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../../shared/errors.ts';
import type { Report } from '../../shared/report.ts';
import { RESTORE_MARK, isAbandoned } from '../qubes/restore-mark.ts';
import type { Qube } from '../qubes/qube.ts';
import type { QubesSystem } from '../qubes/system.ts';
import { isOwnerGone } from '../qubes/owner-names.ts';
import { PARTIAL_HOME_PREFIX } from './unpack-home.ts';
import { isQubeProperty } from './references.ts';
import { removePartialHome } from './remove-tree.ts';
import type { SystemState } from './plan-input.ts';

/*
 * Removing what a killed restore has left. A VM that is complete or in use is never removed, whatever happens
 * at the same time, because
 * - only the holder of the lock (restore-lock.ts) restores or removes, so no restore can finish a VM between
 *   the check and the removal; and a restore that finished one earlier has removed the mark;
 * - a VM is only removed while it has the mark and Qubes' tag, both read again just before: with the tag,
 *   which it has had since its creation, it cannot have been started, so it contains nothing of the user's;
 *   and a user who wants to keep the VM can remove the tag.
 */

/** The VMs left incomplete by a restore that was killed, or by a power failure. */
export async function abandonedQubes(qubes: Iterable<Qube>): Promise<Qube[]> {
  const abandoned: Qube[] = [];
  for (const qube of qubes) {
    const { name, features, tags } = qube;
    if (await isAbandoned(name, features.get(RESTORE_MARK), tags)) abandoned.push(qube);
  }
  return abandoned;
}

/** The system as it will be after the abandoned VMs are removed. */
export function withoutQubes(state: SystemState, removed: readonly Qube[]): SystemState {
  const gone = new Set(removed.map(({ name }) => name));
  return {
    ...state,
    qubes: new Map([...state.qubes].filter(([name]) => !gone.has(name))),
    names: new Set([...state.names].filter((name) => !gone.has(name))),
  };
}

/**
 * Removes abandoned VMs, those based on others first, and reports each. Warns about those that it cannot remove. The
 * caller must hold the lock.
 */
export async function removeAbandoned(
  qubes: readonly Qube[],
  system: QubesSystem,
  report: Report,
): Promise<void> {
  for (const qube of qubes) {
    if (await isStillAbandoned(qube, system).catch(() => false))
      await clearReferences(qube, qubes, system);
  }
  // The newest first: a VM is made after its template.
  let left = [...qubes].sort((one, other) => other.qid - one.qid);
  for (;;) {
    const stuck = await removeEach(left, system, report);
    if (stuck.length === 0) return;
    if (stuck.length === left.length) {
      await reportStuck(stuck, system, report);
      return;
    }
    // A VM that provides devices to another cannot be removed before that other.
    left = stuck.map(({ qube }) => qube);
  }
}

interface Stuck {
  readonly qube: Qube;
  readonly why: string;
}

async function removeEach(
  qubes: readonly Qube[],
  system: QubesSystem,
  report: Report,
): Promise<Stuck[]> {
  const stuck: Stuck[] = [];
  for (const qube of qubes) {
    try {
      if (!(await isStillAbandoned(qube, system))) continue;
      await system.remove(qube.name);
      report.info(`${qube.name} was removed: it was restored only in part`);
    } catch (error) {
      stuck.push({ qube, why: messageOf(error) });
    }
  }
  return stuck;
}

async function isStillAbandoned({ name }: Qube, system: QubesSystem): Promise<boolean> {
  return isAbandoned(name, await system.feature(name, RESTORE_MARK), await system.tags(name));
}

/** Warns about VMs that cannot be removed and still exist. */
async function reportStuck(
  stuck: readonly Stuck[],
  system: QubesSystem,
  report: Report,
): Promise<void> {
  const there = new Set((await system.qubes()).map(({ name }) => name));
  for (const { qube, why } of stuck) {
    if (!there.has(qube.name)) continue;
    report.warning(`${qube.name}, which was restored only in part, is still there: ${why}`);
  }
}

/** Clears references to other abandoned VMs, which would prevent their removal. */
async function clearReferences(
  { name, properties }: Qube,
  removed: readonly Qube[],
  system: QubesSystem,
): Promise<void> {
  for (const [property, value] of properties) {
    const isReference = isQubeProperty(property) && property !== 'template';
    if (isReference && removed.some((other) => other.name === value)) {
      await system.setProperty(name, property, '').catch(() => undefined);
    }
  }
}

/** Removes partly restored homes that a killed restore has left in `home`. Warns when it cannot. */
export async function removeAbandonedHomes(home: string, report: Report): Promise<void> {
  const names = await readdir(home).catch((error: unknown) => {
    report.warning(`${home} cannot be searched for what a restore has left: ${messageOf(error)}`);
    return [];
  });
  for (const name of names) {
    if (name.startsWith(PARTIAL_HOME_PREFIX) && (await isOwnerGone(name))) {
      await removePartialHome(join(home, name), report);
    }
  }
}
