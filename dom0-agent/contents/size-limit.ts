import { DamagedError } from '../../shared/errors.ts';
import { GiB, formatSize } from '../../shared/sizes.ts';
import type { BackedUpQube } from './contents.ts';

/** A volume is larger than the backup's settings say. */
export class TooLargeError extends DamagedError {}

/**
 * A volume may not be larger than the backup's settings say: else a few bytes of a backup made on a
 * compromised system could fill the disk. Formats 2 and 3 tell only what the whole VM took on the
 * disk; a sparse volume is larger, but not without bounds. Throws TooLargeError.
 */
export function checkSize({ qube, size: taken }: BackedUpQube, volume: string, size: number): void {
  const stated = qube.volumes.find(({ name }) => name === volume)?.size ?? 0;
  const limit = stated > 0 ? stated : Math.max(LARGEST_UNSTATED, 10 * taken);
  if (size <= limit) return;
  throw new TooLargeError(
    `${volume} of ${qube.name} has ${formatSize(size)}, but the backup's settings say at most ` +
      `${formatSize(limit)}: if you trust the backup, use --ignore-size-limit`,
  );
}

/** Qubes' default for a root volume is 20 GiB. */
const LARGEST_UNSTATED = 100 * GiB;
