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
  const halted = qubes.filter(({ name }) => !running.has(name));
  const uncommitted = await Promise.all(
    halted.map(async (qube) => ((await hasUncommitted(system, qube)) ? [qube.name] : [])),
  );
  return {
    qubes,
    listed,
    running,
    uncommitted: new Set(uncommitted.flat()),
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

async function hasUncommitted(system: QubesSystem, qube: Qube): Promise<boolean> {
  for (const volume of savedVolumes(qube)) {
    // It may just have been started.
    if (await system.hasUncommitted(volume)) return !(await system.isRunning(qube.name));
  }
  return false;
}

/** The state of the system before a backup. */
export interface BackupSources {
  readonly qubes: readonly Qube[];
  /** All VMs, including those that cannot be backed up. */
  readonly listed: readonly ListedQube[];
  readonly running: ReadonlySet<string>;
  /** The names of halted VMs that have written something which is not in their saved state. */
  readonly uncommitted: ReadonlySet<string>;
  /** Why the last saved state of a VM cannot be read, by its name. */
  readonly unreadable: ReadonlyMap<string, string>;
  readonly dom0Home: Dom0Home;
}
