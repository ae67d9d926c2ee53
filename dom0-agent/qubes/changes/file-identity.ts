import type { BigIntStats } from 'node:fs';
import { stat } from 'node:fs/promises';

/** A file system may note times as coarsely as this, in milliseconds: FAT's two seconds. */
const COARSEST_TIME = 2_000;

/**
 * What tells whether the file at `path` is the same, and was not written to: device, inode, size, times of the last
 * change of content and of anything. Undefined when it was changed so lately that a later change might bear the same
 * times, or where it cannot be looked at.
 */
export async function fileIdentity(path: string): Promise<string | undefined> {
  let stats: BigIntStats;
  try {
    stats = await stat(path, { bigint: true });
  } catch {
    return undefined;
  }
  const { dev, ino, size, mtimeNs, ctimeNs, ctimeMs, mtimeMs } = stats;
  const latest = Number(ctimeMs > mtimeMs ? ctimeMs : mtimeMs);
  if (Date.now() - latest < COARSEST_TIME) return undefined;
  return [dev, ino, size, mtimeNs, ctimeNs].join(' ');
}
