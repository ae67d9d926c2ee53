import { NotAllowedError } from '../../shared/errors.ts';
import { formatSize } from '../../shared/sizes.ts';
import { type Estimate, surelyFits } from '../backup/backup-space.ts';
import type { Storage } from '../transport/storage.ts';
import type { SystemAtHand } from './system-at-hand.ts';

/** Where a backup goes to, as far as can be known before anything is done. */
export interface Destination {
  /** For people: `sys-usb:/home/user/backups`, `the command in sys-usb`. */
  readonly location: string;
  readonly freeBytes: number | undefined;
  /** The VM that will be started for it. */
  readonly toBeStarted?: string;
}

/**
 * Looks at the place of a new backup without touching anything: no command is run, no file made, no VM
 * started. What cannot be seen so is not known. Throws RefusedError when there is no such directory.
 */
export async function seeDestination(
  { isHalted }: SystemAtHand,
  place: Storage,
  location: string,
  flags: { readonly command?: true },
  signal: AbortSignal,
): Promise<Destination> {
  const { owner } = place;
  const started = (await isHalted(owner)) ? { toBeStarted: owner } : {};
  if (flags.command === true) {
    return { location: `the command in ${owner}`, freeBytes: undefined, ...started };
  }
  const unseen: Destination = {
    location: `${owner}:${location}`,
    freeBytes: undefined,
    ...started,
  };
  if (unseen.toBeStarted !== undefined) return unseen;
  try {
    const { path, freeBytes } = await place.browse(location, signal);
    return { location: `${owner}:${path}`, freeBytes };
  } catch (error) {
    // A directory that files can be put into need not be one that may be looked into.
    if (error instanceof NotAllowedError) return unseen;
    throw error;
  }
}

/** For the plan: the place, what is free there, and what is started for it. */
export function describeDestination({ location, freeBytes, toBeStarted }: Destination): string {
  const free = freeBytes === undefined ? '' : ` (${formatSize(freeBytes)} free there)`;
  const started = toBeStarted === undefined ? '' : `; ${toBeStarted} will be started for it`;
  return `${location}${free}${started}`;
}

/** Whether a backup is sure to fit, as far as the free space is known. Throws RefusedError when it cannot. */
export function fitsIn(
  estimate: Estimate,
  { location, freeBytes }: { readonly location: string; readonly freeBytes: number | undefined },
): boolean {
  return freeBytes === undefined || surelyFits(estimate, freeBytes, location);
}

export function mayNotFit(
  { most }: Estimate,
  { location, freeBytes = 0 }: Pick<Destination, 'location' | 'freeBytes'>,
): string {
  return (
    `it may not fit: ${formatSize(most)} to back up, ${formatSize(freeBytes)} free in ${location}: ` +
    'it depends on how well it compresses'
  );
}
