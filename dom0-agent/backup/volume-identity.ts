import type { Qube, Volume } from '../qubes/qube.ts';
import type { Dedup } from './series-state.ts';

/** The domain of the roots of templates and of what was cloned from them: they are much alike. */
const ROOTS = 'roots';
/** The one domain of a series that was begun so. */
const ALL = 'all';

/**
 * Which volume of which VM it is: `<uuid>/private`. A VM keeps its uuid when it is renamed, and one that is made later
 * under the same name has another. Where a system knows no uuids, the name of the VM, which cannot be mistaken for one.
 */
export function originOf({ uuid, name }: Qube, volume: Volume): string {
  return `${uuid ?? name}/${volume.name}`;
}

/** The name of a volume's notes on what changed in it: see `TrackedVolume`. */
export function keyOf(origin: string): string {
  return origin.replace('/', '.');
}

/**
 * Within which volumes equal chunks are stored once. Roots of templates and standalones share theirs; every other
 * volume is compared with itself only, so that the size of a backup never reveals to one VM what another one contains. With
 * `dedup` all, that is given up.
 */
export function domainOf(qube: Qube, volume: Volume, dedup: Dedup): string {
  if (dedup === 'all') return ALL;
  const isOfSystem = qube.qubeClass === 'TemplateVM' || qube.qubeClass === 'StandaloneVM';
  return isOfSystem && volume.name === 'root' ? ROOTS : originOf(qube, volume);
}
