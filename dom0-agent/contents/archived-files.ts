import { DamagedError } from '../../shared/errors.ts';
import { INCOMPLETE } from '../archive/archive.ts';
import { savedVolumes } from '../qubes/qube.ts';
import { type QubesAndHome, dom0Trees } from '../qubes/backup-contents.ts';

/** What kind of file of a VM a path in an archive is. */
export type ArchivedPath =
  | { readonly kind: 'volume'; readonly directory: string; readonly volume: string }
  | {
      /** `directory`: the VM's whole directory as one file, as formats 2 and 3 store templates. */
      readonly kind: 'firewall' | 'notes' | 'menu' | 'incomplete' | 'directory' | 'other';
      readonly directory: string;
    };

/** The path of a volume in an archive: `vm5/private.img`. */
export function volumePath(directory: string, volume: string): string {
  return `${directory}/${volume}.img`;
}

/** Parses a file's path: `vm5/private.img` is the volume `private` of the VM in `vm5`. */
export function parseArchivedPath(path: string): ArchivedPath {
  const slash = path.lastIndexOf('/');
  const directory = path.slice(0, Math.max(slash, 0));
  const name = path.slice(slash + 1);
  switch (name) {
    case 'firewall.xml':
      return { kind: 'firewall', directory };
    case 'notes.txt':
      return { kind: 'notes', directory };
    case 'whitelisted-appmenus.list':
      return { kind: 'menu', directory };
    case INCOMPLETE:
      return { kind: 'incomplete', directory };
    case '.':
      return { kind: 'directory', directory };
  }
  const volume = /^([a-z][a-z0-9_-]*)\.img$/.exec(name)?.[1];
  return volume === undefined
    ? { kind: 'other', directory }
    : { kind: 'volume', directory, volume };
}

/**
 * Which of the files listed in qubes.xml were seen. Other paths are not recorded: a whole directory (`vm9/.`,
 * the templates of formats 2 and 3) may contain any number of files.
 */
export class FilesSeen {
  readonly #expected: ReadonlySet<string>;
  readonly #seen = new Set<string>();

  constructor(selected: QubesAndHome) {
    this.#expected = new Set(expectedBy(selected));
  }

  /** Notes a file of the archive, or a file of a whole directory in it. */
  note(path: string): void {
    const directory = path.slice(0, Math.max(path.lastIndexOf('/'), 0));
    for (const each of [path, directory]) if (this.#expected.has(each)) this.#seen.add(each);
  }

  /** The paths that qubes.xml lists for the selected VMs and that were not seen. */
  missingOf(selected: QubesAndHome): string[] {
    return expectedBy(selected).filter((path) => !this.#seen.has(path));
  }
}

/**
 * The paths that must be in the archive: the volumes of every VM; for a VM without volumes its directory, which has at
 * least one file (the official tools write an empty one, `empty`); and dom0's home and configuration. Formats 2 to 4
 * have no manifest, so this is how a lost file is noticed.
 */
function expectedBy(selected: QubesAndHome): string[] {
  const expected = selected.qubes.flatMap(({ qube, directory }) => {
    const volumes = savedVolumes(qube).map(({ name }) => volumePath(directory, name));
    return volumes.length > 0 ? volumes : [directory];
  });
  return [...expected, ...dom0Trees(selected)];
}

/** Throws DamagedError when something that qubes.xml lists is not in the archive. */
export function refuseMissing(selected: QubesAndHome, seen: FilesSeen): void {
  const missing = seen.missingOf(selected);
  if (missing.length === 0) return;
  throw new DamagedError(`the backup is incomplete: it does not contain ${missing.join(', ')}`);
}
