import { statfs } from 'node:fs/promises';
import { RefusedError } from '../../shared/errors.ts';
import { formatSize } from '../../shared/sizes.ts';
import type { ArchiveFormat } from '../archive/archive-header.ts';
import type { BackedUpHome } from '../contents/contents.ts';

/**
 * Holds the home in a backup against what is free where it goes. Throws RefusedError when it does not fit;
 * gives a warning when it may not: only coffer-1 tells how much a home with holes really has.
 *
 * @param directory dom0's home
 */
export async function warnOfHomeSpace(
  home: BackedUpHome | undefined,
  format: ArchiveFormat,
  directory: string,
): Promise<string | undefined> {
  if (home === undefined) return undefined;
  const { bavail, bsize } = await statfs(directory);
  const free = bavail * bsize;
  if (home.size <= free) return undefined;
  const both = `dom0's home in the backup has ${formatSize(home.size)}, and ${formatSize(free)} are free`;
  if (format !== 'coffer-1') return `it may not fit into ${directory}: ${both}`;
  throw new RefusedError(
    `there is not enough space in ${directory}: ${both}: free some, or use --skip-dom0-home`,
  );
}
