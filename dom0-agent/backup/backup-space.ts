import { RefusedError } from '../../shared/errors.ts';
import { formatSize } from '../../shared/sizes.ts';
import type { MeasuredPlan } from './measure-plan.ts';
import { expectedBytes } from './plan-backup.ts';

/** Compression may make a backup so many times smaller; better than that is not counted on. */
const COMPRESSION_MAY_WIN = 2;

/** The bytes that a backup will take where it is stored: between these two, as far as is known. */
export interface Estimate {
  /** What is surely in use, after the best compression that is counted on. */
  readonly least: number;
  /** All that may be in use, uncompressed. */
  readonly most: number;
}

/** How large the backup will be. Volumes of which the pool does not tell what is in use count in `most` only. */
export function estimateOf({ qubes, dom0Home }: MeasuredPlan, compressed: boolean): Estimate {
  const volumes = qubes.flatMap((planned) => planned.volumes);
  const home = dom0Home?.size.expected ?? 0;
  const used = volumes.reduce((sum, { usage }) => sum + (usage ?? 0), home);
  return {
    least: compressed ? Math.floor(used / COMPRESSION_MAY_WIN) : used,
    most: volumes.reduce((sum, volume) => sum + expectedBytes(volume), home),
  };
}

/**
 * Whether a backup is sure to fit; where that is a question of how well it compresses, it is not. Throws
 * RefusedError when it cannot fit.
 *
 * @param where for the message
 */
export function surelyFits({ least, most }: Estimate, freeBytes: number, where: string): boolean {
  if (least > freeBytes) {
    throw new RefusedError(
      `there is not enough space in ${where}: the backup needs at least ${formatSize(least)}, and ` +
        `${formatSize(freeBytes)} are free: free some, name another directory, or leave VMs out with -x`,
    );
  }
  return most <= freeBytes;
}
