import { DamagedError } from '../../../shared/errors.ts';
import { MANIFEST_PATH } from './manifest.ts';
import { PARTS_PATH } from './parts-table-text.ts';

/** The parts of all volumes are `data.000` and so on, in one sequence. */
export const DATA_PATH = 'data';
export const IDS_PATH = 'ids';

/** The path of parts that were first stored in another file of the series, and moved into this one unchanged. */
export function movedPath(backupId: string): string {
  return `from/${backupId}/${DATA_PATH}`;
}

/** The same for parts of which only some chunks are left, and which were sealed again. */
export function trimmedPath(backupId: string): string {
  return `trimmed/${backupId}/${DATA_PATH}`;
}

/** The kinds of members, in the order in which they come in a backup. */
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

/** The kind of the members with this path. Throws DamagedError if coffer never writes such a path. */
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

/** The path of the volume that a map describes. */
export function volumePathOfMap(mapPath: string): string {
  return mapPath.replace(/\.map$/, '.img');
}
