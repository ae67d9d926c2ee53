import type { ChangedQubes, SinceLast } from '../backup/changed-qubes.ts';
import { expectedBytes } from '../backup/plan-backup.ts';
import { type Qube, savedVolumes, sizeOfVolumes } from '../qubes/qube.ts';
import type { QubesSystem } from '../qubes/system.ts';

/** What programs are told about a VM of this system: docs/json.md. */
export interface DescribedQube {
  readonly name: string;
  readonly class: string;
  readonly label: string;
  readonly running: boolean;
  /** In bytes; undefined for dom0. */
  readonly size: number | undefined;
  /** In bytes; undefined for dom0. */
  readonly used: number | undefined;
  readonly forDisposables: boolean;
  readonly providesNetwork: boolean;
  readonly sinceLast: SinceLast;
}

/**
 * Returns a function that describes each of these VMs by its name.
 *
 * @param changes what has changed since their last backups
 */
export async function describing(
  qubes: readonly Qube[],
  system: QubesSystem,
  changes: ChangedQubes,
): Promise<(name: string) => DescribedQube> {
  const running = new Set(
    (await system.list()).flatMap((each) => (each.isRunning ? each.name : [])),
  );
  const described = new Map(
    qubes.map((qube) => {
      const sinceLast = changes.get(qube.name);
      return [qube.name, { ...describe(qube, running.has(qube.name)), sinceLast }];
    }),
  );
  return (name) => {
    const found = described.get(name);
    if (found === undefined) throw new RangeError(`there is no ${name}`);
    return found;
  };
}

function describe(qube: Qube, running: boolean): Omit<DescribedQube, 'sinceLast'> {
  const isDom0 = qube.qubeClass === 'AdminVM';
  return {
    ...{ name: qube.name, class: qube.qubeClass, label: qube.label, running },
    size: isDom0 ? undefined : sizeOfVolumes(qube),
    used: isDom0
      ? undefined
      : savedVolumes(qube).reduce((sum, each) => sum + expectedBytes(each), 0),
    forDisposables: qube.properties.get('template_for_dispvms') === 'True',
    providesNetwork: qube.properties.get('provides_network') === 'True',
  };
}
