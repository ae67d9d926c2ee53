import { type Qube, savedVolumes } from '../qubes/qube.ts';
import type { QubesSystem } from '../qubes/system.ts';
import type { Inventory } from './plan-backup.ts';

/** Asks the system what it has. */
export async function readInventory(system: QubesSystem): Promise<Inventory> {
  const qubes = await system.qubes();
  const listed = await system.list();
  const running = new Set(listed.filter(({ isRunning }) => isRunning).map(({ name }) => name));
  const reasons = await Promise.all(
    qubes.map(async (qube) => {
      const why = await whyUnreadable(system, qube, running.has(qube.name));
      return why === undefined ? [] : [[qube.name, why] as const];
    }),
  );
  return {
    qubes,
    listed,
    running,
    unreadable: new Map(reasons.flat()),
    dom0Home: await system.dom0Home(),
  };
}

async function whyUnreadable(
  system: QubesSystem,
  qube: Qube,
  isRunning: boolean,
): Promise<string | undefined> {
  for (const volume of savedVolumes(qube)) {
    const why = await system.whyUnreadable(volume, isRunning);
    if (why !== undefined) return why;
  }
  return undefined;
}
