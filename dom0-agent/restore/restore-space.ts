import { RefusedError } from '../../shared/errors.ts';
import { formatSize } from '../../shared/sizes.ts';
import { savedVolumes } from '../qubes/qube.ts';
import type { Pool } from '../qubes/system.ts';
import type { BackedUpQube } from '../qubes/backup-contents.ts';
import type { RestorePlan } from './plan-restore.ts';
import { statfs } from 'node:fs/promises';
import type { ArchiveFormat } from '../archive/archive.ts';

/** If a restore could fill this share of the free space, there is a warning: the sizes in a backup are estimates. */
const NEARLY = 0.9;

/** Throws RefusedError when there is no pool of that name for volumes of VMs. */
export function requirePool(name: string, pools: readonly Pool[]): void {
  if (pools.some((pool) => pool.name === name)) return;
  const known = pools.map((pool) => pool.name).join(', ');
  throw new RefusedError(`this system has no storage pool called ${name} for VMs: it has ${known}`);
}

/**
 * Compares what will be restored with the free space in the pool. Throws RefusedError when it does not fit;
 * returns a warning when it may not fit.
 *
 * @param pool as chosen; undefined: the system's default
 */
export function warnOfSpace(
  { qubes }: RestorePlan,
  pools: readonly Pool[],
  pool: string | undefined,
): string | undefined {
  const target = pools.find(({ name, isDefault }) =>
    pool === undefined ? isDefault : name === pool,
  );
  if (target?.free === undefined) return undefined;
  const sources = qubes.map(({ source }) => source);
  const least = sum(sources.filter(isMeasured));
  const most = sum(sources);
  const describe = (needed: number): string =>
    `${formatSize(needed)} are to be restored, and ${formatSize(target.free ?? 0)} are free`;
  if (least > target.free) {
    throw new RefusedError(
      `there is not enough space in the pool ${target.name}: at least ${describe(least)}: free some, ` +
        'choose another with --pool, or leave VMs out with -x',
    );
  }
  if (most <= target.free * NEARLY) return undefined;
  return `it may not fit into the pool ${target.name}: up to ${describe(most)}`;
}

/**
 * Whether the stated size of a VM was measured. If it equals the capacity of the volumes, they may be anything from
 * empty to full. Formats 2 and 3 do not record the capacity: there, it always was.
 */
function isMeasured({ qube, size }: BackedUpQube): boolean {
  const largest = savedVolumes(qube).reduce((all, volume) => all + volume.size, 0);
  return largest === 0 || size < largest;
}

function sum(sources: readonly BackedUpQube[]): number {
  return sources.reduce((all, { size }) => all + size, 0);
}

/**
 * Compares dom0's home and configuration in a backup with the free space where they will be restored. Throws
 * RefusedError when they do not fit; returns a warning when they may not: only coffer-1 records the real size of files
 * with holes.
 *
 * @param size in bytes; undefined: the backup has nothing of dom0
 * @param directory dom0's home
 */
export async function warnOfHomeSpace(
  size: number | undefined,
  format: ArchiveFormat,
  directory: string,
): Promise<string | undefined> {
  if (size === undefined) return undefined;
  const { bavail, bsize } = await statfs(directory);
  const free = bavail * bsize;
  if (size <= free) return undefined;
  const both = `dom0's home in the backup has ${formatSize(size)}, and ${formatSize(free)} are free`;
  if (format !== 'coffer-1') return `it may not fit into ${directory}: ${both}`;
  throw new RefusedError(
    `there is not enough space in ${directory}: ${both}: free some, or use --skip-dom0-home`,
  );
}
