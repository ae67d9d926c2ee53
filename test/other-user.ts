import { execFileSync } from 'node:child_process';
import { constants, copyFileSync } from 'node:fs';
import { join } from 'node:path';

/** Another user where the tests run as root, who may do everything; else the one who runs them. */
export const otherUser = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};

/** Makes what is there the property of `otherUser`. */
export function giveToOtherUser(...paths: string[]): void {
  const { uid, gid } = otherUser;
  if (uid === undefined) return;
  execFileSync('chown', ['-R', '--no-dereference', `${uid}:${gid}`, ...paths]);
}

/** Starts a namespace in which we are root and may mount; there, also for other users than root. */
export const AS_ROOT = [
  'unshare',
  '--mount',
  ...(process.getuid?.() === 0 ? [] : ['--map-root-user']),
  '--',
];

/** Puts this Node.js into a directory that `otherUser` may open: where it is installed may be private. Gives its path. */
export function nodeIn(directory: string): string {
  const program = join(directory, 'node');
  copyFileSync(process.execPath, program, constants.COPYFILE_FICLONE);
  return program;
}
