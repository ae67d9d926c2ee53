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

export function placeOf(owner: string, target: StoreTarget | FetchSource): NamedPlace {
  if ('command' in target) return { owner, what: 'command', name: printable(target.command) };
  if ('file' in target) return { owner, what: 'file', name: printable(target.file) };
  return { owner, what: 'directory', name: printable(target.directory) };
}

/** A file in a directory. The path is not made simpler: a command may take it for something else than a path. */
export function fileIn(directory: string, name: string): string {
  return directory === '' || directory.endsWith('/') ? directory + name : `${directory}/${name}`;
}

/**
 * A directory, for people, and as its series are known by: another command may take the same path for another place. The
 * options of a command may change, and are nobody's business.
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
