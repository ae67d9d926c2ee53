import { INCOMPLETE } from '../archive/archive.ts';

/** What a file of a VM in an archive is. */
export type ArchivedPath =
  | { readonly kind: 'volume'; readonly directory: string; readonly volume: string }
  | {
      /** `directory`: all files of the VM in one, as formats 2 and 3 keep templates. */
      readonly kind: 'firewall' | 'notes' | 'menu' | 'incomplete' | 'directory' | 'other';
      readonly directory: string;
    };

/** Takes a file's path apart: `vm5/private.img` is the volume `private` of what lies in `vm5`. */
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
