import { realpath } from 'node:fs/promises';
import { sep } from 'node:path';
import { RefusedError } from '../../shared/errors.ts';

/**
 * Refuses a backup of dom0's home into a directory of that home: it would read itself as it grows. Throws
 * RefusedError.
 */
export async function refuseIntoItself(home: string, directory: string): Promise<void> {
  const [realHome, realDirectory] = await Promise.all([real(home), real(directory)]);
  if (`${realDirectory}${sep}`.startsWith(`${realHome}${sep}`)) {
    throw new RefusedError(
      `${directory} is in dom0's home, so the backup would go into itself: ` +
        `name another directory, or leave out dom0 with -x dom0`,
    );
  }
}

/** The path without links; as it is when there is no such file, which others will notice. */
async function real(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch {
    return path;
  }
}
