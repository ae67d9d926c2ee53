import { CommandDirectory } from './command-directory.ts';
import type { Directory } from './directory.ts';
import { DiskDirectory } from './disk-directory.ts';
import { resolvePath } from './resolve-path.ts';

/** A directory as the user, or dom0, names it. */
export interface NamedDirectory {
  readonly directory: string;
  /** A shell command that gives access to it; undefined: it is in the file system. */
  readonly through?: string | undefined;
}

/**
 * The directory of this name; whether it exists is not checked here. Throws StorageFailure for an invalid name.
 *
 * @param home what a relative path is relative to, and where commands run
 * @param signal stops a command that lists or deletes
 */
export function openDirectory(
  home: string,
  { directory, through }: NamedDirectory,
  signal: AbortSignal = new AbortController().signal,
): Directory {
  if (through !== undefined) return new CommandDirectory(through, directory, home, signal);
  return new DiskDirectory(resolvePath(home, directory));
}
