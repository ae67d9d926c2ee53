import { RefusedError } from '../../shared/errors.ts';
import { formatSize } from '../../shared/sizes.ts';
import type { Space } from '../../shared/space.ts';
import type { MeasuredPlan } from './plan-home.ts';
import { expectedBytes } from './plan-backup.ts';

/** The best compression ratio that is counted on. */
const COMPRESSION_MAY_WIN = 2;

/** The size of a backup in bytes: between `least` and `most`, as far as is known. */
export interface Estimate {
  /** What is certainly in use, after the best compression that is counted on. */
  readonly least: number;
  /** All that may be in use, uncompressed. */
  readonly most: number;
  /** How much of `most` is dom0's home and configuration, which are always in one file. */
  readonly trees: number;
}

/** Estimates the size of the backup. Volumes whose usage is unknown only count in `most`. */
export function estimateOf(
  { qubes, dom0Home, dom0Paths }: MeasuredPlan,
  compressed: boolean,
): Estimate {
  const volumes = qubes.flatMap((planned) => planned.volumes);
  const home = (dom0Home?.size.expected ?? 0) + (dom0Paths?.size.expected ?? 0);
  const used = volumes.reduce((sum, { usage }) => sum + (usage ?? 0), home);
  return {
    least: compressed ? Math.floor(used / COMPRESSION_MAY_WIN) : used,
    most: volumes.reduce((sum, volume) => sum + expectedBytes(volume), home),
    trees: home,
  };
}

type Bounds = Pick<Estimate, 'least' | 'most'>;

/** A place for a backup. */
interface Place {
  /** For people: `sys-usb:/home/user/backups`. */
  readonly location: string;
  readonly space: Space;
}

/**
 * Why a backup may not fit, depending on how well it compresses; undefined when it is sure to fit, as far as
 * the space is known. Throws RefusedError when it cannot fit.
 *
 * @param isLong its volumes are stored in as many files as needed
 */
export function whyItMayNotFit(
  estimate: Estimate,
  place: Place,
  isLong = false,
): string | undefined {
  const inOneFile = isLong
    ? { least: Math.floor(estimate.trees / COMPRESSION_MAY_WIN), most: estimate.trees }
    : estimate;
  return mayExceedFree(estimate, place) ?? mayExceedLargestFile(inOneFile, place);
}

function mayExceedFree({ least, most }: Bounds, { location, space }: Place): string | undefined {
  const { freeBytes = Infinity } = space;
  if (least > freeBytes) {
    throw new RefusedError(
      `there is not enough space in ${location}: the backup needs at least ${formatSize(least)}, and ` +
        `${formatSize(freeBytes)} are free: free some, name another directory, or leave VMs out with -x`,
    );
  }
  if (most <= freeBytes) return undefined;
  return (
    `it may not fit: ${formatSize(most)} to back up, ${formatSize(freeBytes)} free in ${location}: ` +
    'it depends on how well it compresses'
  );
}

function mayExceedLargestFile({ least, most }: Bounds, place: Place): string | undefined {
  const { largestFile = Infinity } = place.space;
  if (most <= largestFile) return undefined;
  const limit =
    `the file system of ${place.location} takes no file larger than ${formatSize(largestFile)}, as is usual for ` +
    'FAT: use a disk with another file system (ext4, btrfs, exFAT), or back up fewer VMs at a time';
  if (least <= largestFile) return `${formatSize(most)} may not fit: ${limit}`;
  throw new RefusedError(`the backup needs at least ${formatSize(least)}, and ${limit}`);
}
