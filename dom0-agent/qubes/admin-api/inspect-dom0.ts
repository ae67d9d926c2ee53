import { FailedError } from '../../../shared/errors.ts';
import type { RunProgram } from '../../../shared/run-program.ts';
import type { Dom0Home } from '../system.ts';

/** A removable device that is mounted in dom0. */
export interface MountedDevice {
  /** `/dev/sdb1` */
  readonly device: string;
  readonly mountPoint: string;
  /** The label of its file system, if it has one. */
  readonly label: string | undefined;
  /** In bytes. */
  readonly size: number;
  /** In bytes; undefined if unknown. */
  readonly free: number | undefined;
}

const COLUMNS = 'PATH,MOUNTPOINTS,LABEL,SIZE,FSAVAIL,RM,HOTPLUG';

/** The removable devices that are mounted, from `lsblk`. */
export async function mountedDevices(run: RunProgram): Promise<MountedDevice[]> {
  return parseLsblk(await run('lsblk', ['--json', '--bytes', '--output', COLUMNS]));
}

/** Parses what `lsblk --json` prints. Throws FailedError. */
export function parseLsblk(json: string): MountedDevice[] {
  const listed = parsed(json);
  if (!isRecord(listed) || !Array.isArray(listed['blockdevices'])) {
    throw new FailedError('lsblk answered in a form that coffer does not know');
  }
  return listed['blockdevices'].flatMap((entry) => mountedIn(entry, false));
}

/** Undefined for what is not JSON. */
function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

/** What is on a removable device, such as an encrypted volume, is removable too. */
function mountedIn(entry: unknown, inRemovable: boolean): MountedDevice[] {
  if (!isRecord(entry)) return [];
  const isRemovable = inRemovable || entry['rm'] === true || entry['hotplug'] === true;
  const own = listOf(entry['mountpoints'])
    .filter(isPlace)
    .map((mountPoint) => ({
      device: textOf(entry['path']) ?? '',
      mountPoint,
      label: textOf(entry['label']),
      size: numberOf(entry['size']) ?? 0,
      free: numberOf(entry['fsavail']),
    }));
  const within = listOf(entry['children']).flatMap((child) => mountedIn(child, isRemovable));
  return [...(isRemovable ? own : []), ...within];
}

/** A mount point is a path; swap space says `[SWAP]`, and what is not mounted says null. */
const isPlace = (value: unknown): value is string =>
  typeof value === 'string' && value.startsWith('/');

const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null;

const textOf = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined;

/** Some versions of lsblk write numbers as text. */
function numberOf(value: unknown): number | undefined {
  if (value === null || value === undefined || value === '') return undefined;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : undefined;
}

/**
 * dom0's user and their home. Qubes takes the first member of the group `qubes` to be the user
 * (start_daemon in qubes/vm/qubesvm.py of qubes-core-admin).
 */
export async function findDom0Home(run: RunProgram): Promise<Dom0Home> {
  // `qubes:x:98:user,other` and `user:x:1000:1000::/home/user:/bin/bash`
  const group = await run('getent', ['group', 'qubes']);
  const user = group.trim().split(':')[3]?.split(',')[0];
  if (!user) {
    throw new FailedError(
      'nobody is in the group "qubes", so it is unknown who the user of dom0 is',
    );
  }
  const account = await run('getent', ['passwd', user]);
  const path = account.trim().split(':')[5];
  if (!path) throw new FailedError(`the user ${user} of dom0 has no home directory`);
  return { user, path };
}
