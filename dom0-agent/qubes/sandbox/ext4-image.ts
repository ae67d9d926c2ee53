import { ChildProcess, whyNotRun } from '../../../shared/child-process.ts';
import { FailedError } from '../../../shared/errors.ts';
import { printable } from '../../../shared/printable.ts';

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
  const blocks = `${Math.floor(size / 1024)}k`;
  await using mke2fs = new ChildProcess(['mke2fs', ...options, '-d', tree, image, blocks], {
    stdout: 'ignore',
    signal,
    // A user's PATH may lack the directories of the system's programs.
    env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` },
  });
  const { exitStatus, notRun, untrustedStderr } = await mke2fs.ended;
  signal.throwIfAborted();
  if (notRun)
    throw new FailedError(`${whyNotRun('mke2fs', notRun)}: install the package e2fsprogs`);
  if (exitStatus === 0) return;
  throw new FailedError(
    `mke2fs cannot make the sample volume ${image}: ${printable(untrustedStderr)}`,
  );
}
