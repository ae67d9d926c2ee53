import type { Qube, Volume } from '../qubes/qube.ts';
import type { Dedup } from './series-state.ts';

/** The domain of the root volumes of templates and of standalones cloned from them: they have much in common. */
const ROOTS = 'roots';
/** The only domain of a series that was begun with `--dedup all`. */
const ALL = 'all';

/**
 * Identifies a volume of a VM within a series: `<uuid>/private`. A VM keeps its uuid when it is renamed, and a later VM
 * with the same name has another one. On a system without uuids it is the VM's name, which cannot look like a uuid.
 */
export function originOf({ uuid, name }: Qube, volume: Volume): string {
  return `${uuid ?? name}/${volume.name}`;
}

/** The name of a volume's notes on what changed in it: see `TrackedVolume`. */
export function keyOf(origin: string): string {
  return origin.replace('/', '.');
}

/** The names of the notes on all volumes of these VMs. */
export function keysOfAll(qubes: readonly Qube[]): ReadonlySet<string> {
  return new Set(
    qubes.flatMap((qube) => qube.volumes.map((volume) => keyOf(originOf(qube, volume)))),
  );
}

/**
 * The domain of a volume: equal chunks within a domain are stored once. The roots of templates and standalones share
 * one; every other volume is only compared with itself, so that the size of a backup never reveals to one VM what
 * another one contains. With `dedup` set to `all`, this protection is given up.
 */
export function domainOf(qube: Qube, volume: Volume, dedup: Dedup): string {
  if (dedup === 'all') return ALL;
  const isOfSystem = qube.qubeClass === 'TemplateVM' || qube.qubeClass === 'StandaloneVM';
  return isOfSystem && volume.name === 'root' ? ROOTS : originOf(qube, volume);
}
