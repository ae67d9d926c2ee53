import { type DamagedError, messageOf } from '../../shared/errors.ts';
import { DATA_PATH } from '../archive/coffer1/member-paths.ts';
import { DamagedPartError } from '../archive/parts/part-name.ts';
import { type FilesSeen, parseArchivedPath } from './archived-files.ts';
import { type QubesAndHome, dom0Trees } from '../qubes/backup-contents.ts';

/** Damage to a file of a backup, in the user's terms. */
export interface Damage {
  /** The VM's name, or dom0. */
  readonly name: string;
  /** `its private volume is damaged (part 47)` */
  readonly what: string;
}

/** What damage to the file `path` means; undefined when it belongs to none of the VMs. */
export function damageTo(
  path: string,
  error: DamagedError,
  selected: QubesAndHome,
): Damage | undefined {
  const name = ownerOf(path, selected);
  if (name === undefined) return undefined;
  const fault =
    error instanceof DamagedPartError && (error.path === path || error.path === DATA_PATH)
      ? `(part ${error.index})`
      : `(${messageOf(error)})`;
  return { name, what: `${inWords(path, selected)} is damaged ${fault}` };
}

/** What qubes.xml lists and the archive does not contain. */
export function missingIn(selected: QubesAndHome, seen: FilesSeen): Damage[] {
  return seen.missingOf(selected).map((path) => ({
    name: ownerOf(path, selected) ?? path,
    what: `${inWords(path, selected)} is missing: the backup does not contain ${path}`,
  }));
}

/** The name of the selected VM that a file or directory of the archive belongs to, or dom0; undefined if to none. */
export function ownerOf(path: string, selected: QubesAndHome): string | undefined {
  if (dom0Trees(selected).includes(path)) return 'dom0';
  const { directory } = parseArchivedPath(path);
  return selected.qubes.find((each) => each.directory === directory || each.directory === path)
    ?.qube.name;
}

function inWords(path: string, { dom0Home, dom0Paths }: QubesAndHome): string {
  if (path === dom0Home?.directory) return 'its home';
  if (path === dom0Paths?.directory) return 'its configuration';
  const place = parseArchivedPath(path);
  switch (place.kind) {
    case 'volume':
      return `its ${place.volume} volume`;
    case 'firewall':
      return 'its list of firewall rules';
    case 'notes':
      return 'its notes';
    case 'menu':
      return 'its list of menu entries';
    case 'incomplete':
    case 'directory':
    case 'other':
      return 'what the backup contains of it';
  }
}
