import type { QubesSystem } from '../qubes/system.ts';
import type { Inventory } from './plan.ts';

/** Asks the system what it has. */
export async function readInventory(system: QubesSystem): Promise<Inventory> {
  const qubes = await system.qubes();
  const isRunning = await Promise.all(qubes.map(({ name }) => system.isRunning(name)));
  const running = qubes.filter((_, i) => isRunning[i]).map(({ name }) => name);
  return { qubes, running: new Set(running), dom0Home: await system.dom0Home() };
}
