import type { Qube } from '../qubes/qube.ts';
import type { Pool, QubesSystem, SystemDefaults } from '../qubes/system.ts';

/** What a restore's plan needs to know of the system that it restores into. */
export interface SystemState {
  readonly qubes: ReadonlyMap<string, Qube>;
  readonly labels: ReadonlySet<string>;
  readonly defaults: SystemDefaults;
  readonly dom0User: string;
  readonly pools: readonly Pool[];
}

export async function readSystemState(system: QubesSystem): Promise<SystemState> {
  const qubes = await system.qubes();
  return {
    qubes: new Map(qubes.map((qube) => [qube.name, qube])),
    labels: new Set(await system.labels()),
    defaults: await system.defaults(),
    dom0User: (await system.dom0Home()).user,
    pools: await system.pools(),
  };
}
