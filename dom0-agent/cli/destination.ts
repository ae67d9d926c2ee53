import { dirname } from 'node:path';
import { RefusedError } from '../../shared/errors.ts';
import { formatSize } from '../../shared/sizes.ts';
import type { Space } from '../../shared/space.ts';
import type { BackupSources } from '../backup/backup-sources.ts';
import { isRefusal } from '../transport/storage-errors.ts';
import { advised } from './location-advice.ts';
import type { Listing, Storage } from '../transport/storage.ts';
import type { OpenedSystem } from './open-system.ts';

/** Where a backup will be stored, as far as is known in advance. */
export interface Destination {
  /** For people: `sys-usb:/home/user/backups`, `the command in sys-usb`. */
  readonly location: string;
  readonly space: Space;
  /** What is in the directory, if that could be listed. */
  readonly listing?: Listing | undefined;
  /** The VM that will be started for it. */
  readonly toBeStarted?: string;
}

/**
 * Examines the place of a new backup without changing anything: `--command` is not run, no file is created, no VM
 * is started. What cannot be found out that way is unknown. Throws RefusedError when there is no such directory.
 */
export async function seeDestination(
  { isHalted }: OpenedSystem,
  place: Storage,
  location: string,
  flags: { readonly command?: true },
  signal: AbortSignal,
): Promise<Destination> {
  const { owner } = place;
  const started = (await isHalted(owner)) ? { toBeStarted: owner } : {};
  if (flags.command === true) {
    return { location: `the command in ${owner}`, space: {}, ...started };
  }
  const unseen: Destination = { location: `${owner}:${location}`, space: {}, ...started };
  if (unseen.toBeStarted !== undefined) return unseen;
  try {
    return await listDestination(unseen, place, location, signal);
  } catch (error) {
    if (!isRefusal(error, 'NOT_FOUND') && !isRefusal(error, 'NOT_A_DIRECTORY')) throw error;
    throw advised(error, location, await parentOf(location, place, signal));
  }
}

/** The destination, with what is in its directory now. If the directory may be written, but not read: `unseen`. */
export async function listDestination(
  unseen: Destination,
  place: Storage,
  location: string,
  signal: AbortSignal,
): Promise<Destination> {
  try {
    const listing = await place.browse(location, signal);
    return {
      ...unseen,
      location: `${place.owner}:${listing.path}`,
      space: listing.space,
      listing,
    };
  } catch (error) {
    if (isRefusal(error, 'PERMISSION')) return unseen;
    throw error;
  }
}

/** The directory that LOCATION would be in, if that exists; undefined if LOCATION is a single name. */
async function parentOf(
  location: string,
  place: Storage,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (!location.includes('/')) return undefined;
  try {
    return (await place.browse(dirname(location), signal)).path;
  } catch (error) {
    if (error instanceof RefusedError) return undefined;
    throw error;
  }
}

/** For the plan: the place, its free space, and the VM that will be started for it. */
export function describeDestination({ location, space, toBeStarted }: Destination): string {
  const { freeBytes } = space;
  const free = freeBytes === undefined ? '' : ` (${formatSize(freeBytes)} free there)`;
  const started = toBeStarted === undefined ? '' : `; ${toBeStarted} will be started for it`;
  return `${location}${free}${started}`;
}

/**
 * The result of `opening`. If it fails because the directory LOCATION does not exist, and LOCATION is the name of a VM,
 * the user has forgotten the directory, and the error says so.
 */
export async function orForgottenDirectory<T>(
  opening: Promise<T>,
  asked: {
    readonly location: string;
    readonly sources: BackupSources;
    readonly chosen: readonly string[];
  },
): Promise<T> {
  try {
    return await opening;
  } catch (error) {
    const { location, sources, chosen } = asked;
    const isQube = sources.qubes.some(({ name }) => name === location);
    if (!isRefusal(error, 'NOT_FOUND') || !isQube) throw error;
    throw new RefusedError(
      `did you forget the directory? ${location} is a VM: use \`coffer backup DIRECTORY ` +
        `${[location, ...chosen].join(' ')}\``,
      { cause: error },
    );
  }
}
