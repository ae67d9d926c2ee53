import { type Qube, savedVolumes } from '../qubes/qube.ts';
import type { ListedQube, Dom0Home, QubesSystem } from '../qubes/system.ts';

/** Asks the system what there is to back up. */
export async function readBackupSources(system: QubesSystem): Promise<BackupSources> {
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

/** What the system looks like before a backup. */
export interface BackupSources {
  readonly qubes: readonly Qube[];
  /** All VMs, those too that no backup can hold. */
  readonly listed: readonly ListedQube[];
  readonly running: ReadonlySet<string>;
  /** Why a VM cannot be read as it was last saved, in words, by its name. */
  readonly unreadable: ReadonlyMap<string, string>;
  readonly dom0Home: Dom0Home;
}
