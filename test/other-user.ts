import { constants, copyFileSync } from 'node:fs';
import { join } from 'node:path';

/** Another user where the tests run as root, who may do everything; else the one who runs them. */
export const otherUser = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};

/** Puts this Node.js into a directory that `otherUser` may open: where it is installed may be private. Gives its path. */
export function nodeIn(directory: string): string {
  const program = join(directory, 'node');
  copyFileSync(process.execPath, program, constants.COPYFILE_FICLONE);
  return program;
}
