import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import { FailedError, systemCodeOf } from '../../../shared/errors.ts';

const run = promisify(execFile);

/**
 * Makes a sparse ext4 image of `size` bytes, with the files beneath `tree`. No root is needed. Throws
 * FailedError when mke2fs is missing, or fails.
 */
export async function makeExt4Image(
  image: string,
  size: number,
  tree: string,
  signal: AbortSignal,
): Promise<void> {
  // No space is kept for root, and what would be zeros anyway is left to be holes.
  const extended = 'lazy_itable_init=1,lazy_journal_init=1,nodiscard';
  const options = ['-q', '-F', '-t', 'ext4', '-m', '0', '-E', extended];
  try {
    await run('mke2fs', [...options, '-d', tree, image, `${Math.floor(size / 1024)}k`], {
      signal,
      // A user's PATH may lack the directories of the system's programs.
      env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` },
    });
  } catch (error) {
    signal.throwIfAborted();
    if (systemCodeOf(error) === 'ENOENT') {
      throw new FailedError('mke2fs is missing: install the package e2fsprogs');
    }
    throw new FailedError(`mke2fs cannot make the sample volume ${image}`, { cause: error });
  }
}
