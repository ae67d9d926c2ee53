import { access } from 'node:fs/promises';

import { systemCodeOf } from '../../shared/errors.ts';

/** Whether there is a file of this name. Throws Node's system errors. */
export async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return false;
    throw error;
  }
}
