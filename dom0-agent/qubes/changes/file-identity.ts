import type { BigIntStats } from 'node:fs';
import { stat } from 'node:fs/promises';

/** The coarsest resolution of a file system's times, in milliseconds: FAT's two seconds. */
const COARSEST_TIME = 2_000;

/**
 * Identifies the file at `path` and its content, without reading it: device, inode, size, and the times of the last
 * change of its content and of anything about it. Undefined if it was changed so recently that a later change could
 * have the same times, or if it cannot be examined.
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
