import { printable } from '../../shared/printable.ts';
import type { FetchSource, StoreTarget } from './storage.ts';

/** What the user named, for messages. */
export interface NamedPlace {
  /** The VM's name, or `dom0`. */
  readonly owner: string;
  readonly what: 'directory' | 'file' | 'command';
  /** The path or the command line, as the user gave it, printable. */
  readonly name: string;
}

/** What the user named, printable. */
export function placeOf(owner: string, target: StoreTarget | FetchSource): NamedPlace {
  if ('command' in target) return { owner, what: 'command', name: printable(target.command) };
  if ('file' in target) return { owner, what: 'file', name: printable(target.file) };
  return { owner, what: 'directory', name: printable(target.directory) };
}

/** The path of a file in a directory. It is not normalised: to a command it may be something other than a path. */
export function fileIn(directory: string, name: string): string {
  if (directory === '' || directory === '.') return name;
  return directory.endsWith('/') ? directory + name : `${directory}/${name}`;
}

/**
 * A directory as it is shown, and recorded for its series. It names the program that gives access to it, since the same
 * path may be another place for another program. The program's options are left out: they may change, and may be
 * private.
 */
export function pathThrough(path: string, through: string | undefined): string {
  if (through === undefined) return path;
  const words = through.trim().split(/\s+/);
  const program = words.find((word) => !word.includes('=')) ?? '';
  return `${path} (through ${printable(program)})`;
}

/** A resolved path in its VM, or the command. */
export function locationIn(owner: string, path: string | undefined): string {
  return path === undefined ? `the command in ${owner}` : `${owner}:${path}`;
}
