import { CommandDirectory } from './command-directory.ts';
import type { Directory } from './directory.ts';
import { DiskDirectory } from './disk-directory.ts';
import { resolvePath } from './resolve-path.ts';

/** What the user, or dom0, calls a directory. */
export interface NamedDirectory {
  readonly directory: string;
  /** A shell command that leads to it. */
  readonly through?: string | undefined;
}

/**
 * A directory by its name: whether it is there shows later. Throws StorageFailure.
 *
 * @param home what a relative path is relative to, and where commands run
 */
export function openDirectory(home: string, { directory, through }: NamedDirectory): Directory {
  if (through !== undefined) return new CommandDirectory(through, directory, home);
  return new DiskDirectory(resolvePath(home, directory));
}
