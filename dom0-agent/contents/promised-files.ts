import { DamagedError } from '../../shared/errors.ts';
import { savedVolumes } from '../qubes/qube.ts';
import type { BackupContents } from './contents.ts';

/** VMs of a backup, and dom0's home. */
type Held = Pick<BackupContents, 'qubes' | 'dom0Home'>;

/**
 * What came of that which qubes.xml promises. Other paths are not kept: a whole directory (`vm9/.`, the templates
 * of formats 2 and 3) may hold files without end.
 */
export class FilesSeen {
  readonly #promised: ReadonlySet<string>;
  readonly #seen = new Set<string>();

  constructor(held: Held) {
    this.#promised = new Set(promisedBy(held));
  }

  /** A file of the archive, or of a whole directory in it. */
  note(path: string): void {
    const directory = path.slice(0, Math.max(path.lastIndexOf('/'), 0));
    for (const each of [path, directory]) if (this.#promised.has(each)) this.#seen.add(each);
  }

  /** What did not come of that which qubes.xml promises for these, as paths. */
  missingOf(held: Held): string[] {
    return promisedBy(held).filter((path) => !this.#seen.has(path));
  }
}

/**
 * Of every VM the volumes that belong in a backup; of a VM without any its directory, in which there is at least one file
 * (official tools write an empty one, `empty`); and dom0's home. Formats 2 to 4 have no manifest: this is
 * how a lost file is noticed.
 */
function promisedBy({ qubes, dom0Home }: Held): string[] {
  const promised = qubes.flatMap(({ qube, directory }) => {
    const volumes = savedVolumes(qube).map(({ name }) => `${directory}/${name}.img`);
    return volumes.length > 0 ? volumes : [directory];
  });
  return dom0Home === undefined ? promised : [...promised, dom0Home.directory];
}

/** Throws DamagedError when something that qubes.xml promises is not in the archive. */
export function refuseMissing(held: Held, seen: FilesSeen): void {
  const missing = seen.missingOf(held);
  if (missing.length === 0) return;
  throw new DamagedError(`the backup is incomplete: it does not hold ${missing.join(', ')}`);
}
