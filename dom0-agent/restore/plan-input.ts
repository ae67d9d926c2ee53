import type { Qube } from '../qubes/qube.ts';
import type { SystemDefaults, Pool, QubesSystem } from '../qubes/system.ts';

/** What the user wants restored, and how. */
export interface RestoreChoices {
  /** Empty: everything in the backup; `dom0` stands for dom0's home and configuration. */
  readonly chosen: readonly string[];
  readonly excluded: readonly string[];
  /** By names in the backup: the names to restore under. */
  readonly newName?: ReadonlyMap<string, string>;
  /** By names in the backup: the templates that VMs are based on here. */
  readonly useTemplate?: ReadonlyMap<string, string>;
  /** By names in the backup: the netvm, or `none`, or `default` (the system's). */
  readonly useNetvm?: ReadonlyMap<string, string>;
  /** The same for the default DispVM. */
  readonly useDispvm?: ReadonlyMap<string, string>;
  /** By names in the backup: the kernel of dom0, or `default`. */
  readonly useKernel?: ReadonlyMap<string, string>;
  /** Restore a VM whose name is taken as `name-1`, rather than refuse. */
  readonly renameConflicting?: boolean;
  /** Leave out a VM whose name is taken, rather than refuse. */
  readonly skipConflicting?: boolean;
  /** Use the system's default instead of a missing template, netvm or default DispVM. */
  readonly ignoreMissing?: boolean;
  /** Leave out a VM that lacks something, rather than refuse. */
  readonly skipBroken?: boolean;
  readonly skipDom0Home?: boolean;
  /** Restore dom0's home though it belonged to a user of another name. */
  readonly ignoreUsernameMismatch?: boolean;
  /** The backup may come from a compromised system: restore data, but nothing that could affect the new system. */
  readonly distrustSettings?: boolean;
  /** The storage pool for the new volumes; by default the system's. */
  readonly pool?: string | undefined;
}

/** What planning a restore needs to know about the system that it restores to. */
export interface SystemState {
  readonly qubes: ReadonlyMap<string, Qube>;
  /** The names of all VMs, also of classes that coffer does not know: they are taken. */
  readonly names: ReadonlySet<string>;
  readonly labels: ReadonlySet<string>;
  readonly defaults: SystemDefaults;
  readonly dom0User: string;
  readonly pools: readonly Pool[];
  /** The kernels in dom0 that VMs can boot; undefined if that is not known. */
  readonly kernels: ReadonlySet<string> | undefined;
}

/** Asks the system for its state. */
export async function readSystemState(system: QubesSystem): Promise<SystemState> {
  const qubes = await system.qubes();
  const listed = await system.list();
  const kernels = await system.kernels();
  return {
    qubes: new Map(qubes.map((qube) => [qube.name, qube])),
    names: new Set(listed.map(({ name }) => name)),
    labels: new Set(await system.labels()),
    defaults: await system.defaults(),
    dom0User: (await system.dom0Home()).user,
    pools: await system.pools(),
    kernels: kernels && new Set(kernels),
  };
}
