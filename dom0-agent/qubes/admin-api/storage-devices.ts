import { FailedError } from '../../../shared/errors.ts';
import { printable } from '../../../shared/printable.ts';
import type { Run } from '../../../shared/run-program.ts';

/** A removable device that is mounted in dom0. */
export interface MountedDevice {
  /** `/dev/sdb1` */
  readonly device: string;
  readonly mountPoint: string;
  /** What the file system is called, if it has a name. */
  readonly label: string | undefined;
  /** In bytes. */
  readonly size: number;
  /** Undefined where it is unknown. */
  readonly free: number | undefined;
}

/** A block device that a VM offers to others. */
export interface OfferedDevice {
  readonly backend: string;
  readonly port: string;
  readonly description: string;
  /** In bytes; undefined where it is unknown. */
  readonly size: number | undefined;
}

const COLUMNS = 'PATH,MOUNTPOINTS,LABEL,SIZE,FSAVAIL,RM,HOTPLUG';

/** The removable devices that are mounted, as `lsblk` tells of them. */
export async function mountedDevices(run: Run): Promise<MountedDevice[]> {
  return parseLsblk(await run('lsblk', ['--json', '--bytes', '--output', COLUMNS]));
}

export function parseLsblk(json: string): MountedDevice[] {
  const listed = parsed(json);
  if (!isRecord(listed) || !Array.isArray(listed['blockdevices'])) {
    throw new FailedError('lsblk answered in a form that coffer does not know');
  }
  return listed['blockdevices'].flatMap((entry) => mountedIn(entry, false));
}

/** Undefined for what is no JSON. */
function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

/** What lies on a removable device, an encrypted volume for instance, is removable too. */
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

/** A device as a VM's list of block devices describes it. */
export function describeOffered(
  backend: string,
  port: string,
  fields: ReadonlyMap<string, string>,
): OfferedDevice {
  const words = ['vendor', 'product', 'name', 'description'].map((key) => fields.get(key) ?? '');
  const size = Number(fields.get('_size') ?? fields.get('size') ?? NaN);
  return {
    backend,
    port,
    // What a VM says of its devices is only shown.
    description: printable(words.filter(Boolean).join(' '), 100),
    size: Number.isSafeInteger(size) ? size : undefined,
  };
}
