import { execFileSync } from 'node:child_process';
import { constants, copyFileSync } from 'node:fs';
import { join } from 'node:path';

/** An unprivileged user if the tests run as root; otherwise the user who runs them. */
export const otherUser = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};

/** Makes `otherUser` the owner of a path, and of everything below it. */
export function giveToOtherUser(...paths: string[]): void {
  const { uid, gid } = otherUser;
  if (uid === undefined) return;
  execFileSync('chown', ['-R', '--no-dereference', `${uid}:${gid}`, ...paths]);
}

/** The words of a command that runs another as root, with a mount namespace of its own, for any user. */
export const AS_ROOT = [
  'unshare',
  '--mount',
  ...(process.getuid?.() === 0 ? [] : ['--map-root-user']),
  '--',
];

/** Copies this Node.js into a directory that `otherUser` can read, as its own may be private. Returns its path. */
export function nodeIn(directory: string): string {
  const program = join(directory, 'node');
  copyFileSync(process.execPath, program, constants.COPYFILE_FICLONE);
  return program;
}
