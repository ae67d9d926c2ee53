import { DamagedError } from '../../../shared/errors.ts';
import { MANIFEST_PATH } from './manifest.ts';
import { PARTS_PATH } from './parts-table-text.ts';

/** The parts of volumes are `data.000` and so on, whichever volume they are of. */
export const DATA_PATH = 'data';
export const IDS_PATH = 'ids';

/** Parts of volumes that were born in another file of the series and moved into this one, byte for byte. */
export function movedPath(backupId: string): string {
  return `from/${backupId}/${DATA_PATH}`;
}

/** The same, of which only some of the chunks are left, sealed anew. */
export function trimmedPath(backupId: string): string {
  return `trimmed/${backupId}/${DATA_PATH}`;
}

/** What the members of a path are, in the order in which they lie in a backup. */
export const MEMBER_KINDS = [
  'file',
  'moved',
  'data',
  'incomplete',
  'tree',
  'map',
  'parts',
  'ids',
  'manifest',
] as const;
export type MemberKind = (typeof MEMBER_KINDS)[number];

/** What the path of members stands for. Throws DamagedError when coffer writes no such path. */
export function memberKind(path: string): MemberKind {
  switch (path) {
    case DATA_PATH:
      return 'data';
    case PARTS_PATH:
      return 'parts';
    case IDS_PATH:
      return 'ids';
    case MANIFEST_PATH:
      return 'manifest';
    case 'dom0-home/home':
    case 'dom0-home/paths':
      return 'tree';
  }
  if (/^(from|trimmed)\/[0-9a-f]{32}\/data$/.test(path)) return 'moved';
  if (/^vm[0-9]+\/[A-Za-z0-9_-]+\.map$/.test(path)) return 'map';
  if (/^vm[0-9]+\/incomplete\.txt$/.test(path)) return 'incomplete';
  if (/^(qubes\.xml|vm[0-9]+\/(firewall\.xml|notes\.txt|empty))$/.test(path)) return 'file';
  throw new DamagedError(`the backup contains ${path}, which coffer never writes`);
}

/** The volume of a map's path. */
export function volumePathOfMap(mapPath: string): string {
  return mapPath.replace(/\.map$/, '.img');
}
