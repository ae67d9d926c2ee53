import { realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { untilAborted, untilEachAborted } from '../protocol/timeout.ts';
import { HARMLESS_NAME } from '../shared/harmless-name.ts';
import type { Space } from '../shared/space.ts';
import { BACKUP_START, beginsAsBackup, notABackup } from './delete-backups.ts';
import type { BegunRange, Deletion, Directory, DirectoryListing, StoredFile } from './directory.ts';
import { parseListing } from './listing-text.ts';
import type { LocalSink } from './local-streams.ts';
import { type CommandLine, CommandSink, CommandSource } from './shell-command.ts';
import { StorageFailure } from './storage-failure.ts';

/** How many commands read at the same time: the output of one is used, the others have been started. */
const AT_ONCE = 4;

/** The directory of the commands that come with coffer, beside its program. It is the last one in PATH. */
function ownCommands(): string {
  return join(dirname(realpathSync(process.argv[1] ?? '.')), 'through');
}

/** What a command is asked to do, in COFFER_DO. */
type Verb = 'list' | 'read' | 'write' | 'delete';

/**
 * A directory that a command gives access to. The environment tells the command what to do: see docs/destinations.md.
 * File names are harmless to a shell (see HARMLESS_NAME), and the numbers are coffer's own.
 */
export class CommandDirectory implements Directory {
  readonly path: string;
  readonly ahead = AT_ONCE;
  readonly #command: string;
  readonly #home: string;
  readonly #signal: AbortSignal;
  #listing: Promise<DirectoryListing> | undefined;

  /**
   * @param command a shell command
   * @param path what the command calls the directory
   * @param home where the command runs
   * @param signal ends a command that lists or deletes
   * @throws StorageFailure
   */
  constructor(command: string, path: string, home: string, signal: AbortSignal) {
    this.#command = requireCommand(command);
    if (path === '' || /\p{Cc}/u.test(path)) {
      throw new StorageFailure('BAD_REQUEST', 'the path is empty or contains control characters');
    }
    this.path = path;
    this.#home = home;
    this.#signal = signal;
  }

  requireThere(): Promise<void> {
    return Promise.resolve();
  }

  async list(): Promise<DirectoryListing> {
    await using source = new CommandSource(this.#to('list', this.path));
    const listed = untilEachAborted(source.read(), this.#signal);
    const { entries, truncated } = await parseListing(listed, (what) => source.failed(what));
    return { path: this.path, space: {}, entries, truncated };
  }

  space(): Promise<Space> {
    return Promise.resolve({});
  }

  async create(name: string): Promise<LocalSink> {
    requireHarmless(name);
    const { entries } = await this.list();
    if (entries.some((entry) => entry.name === name)) {
      throw new StorageFailure('EXISTS', `${name} already exists`);
    }
    return new CommandSink(this.#to('write', name, { file: name }), `${this.path}/${name}`);
  }

  async open(name: string): Promise<StoredFile> {
    requireHarmless(name);
    const size = await this.#sizeOf(name);
    return {
      size,
      range: (from, to) => this.#range(name, from, to),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }

  /** The size in the first listing; a file that is missing there is looked for in a new one. Throws NOT_FOUND. */
  async #sizeOf(name: string): Promise<number> {
    const known = this.#listing;
    const found = sizeIn(await (this.#listing ??= this.list()), name);
    if (found !== undefined) return found;
    const now = known === undefined ? undefined : sizeIn(await (this.#listing = this.list()), name);
    if (now !== undefined) return now;
    throw new StorageFailure('NOT_FOUND', `there is no ${name}`);
  }

  #range(name: string, from: number, to: number): BegunRange {
    const length = to - from;
    const source = new CommandSource(
      this.#to('read', `${length} bytes of ${name}`, {
        ...{ file: name, offset: String(from), length: String(length) },
      }),
    );
    return {
      read: () => source.exactly(length),
      [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
    };
  }

  requireDeletable(names: readonly string[]): Promise<void> {
    names.forEach(requireHarmless);
    return Promise.resolve();
  }

  async deleteBackup(name: string): Promise<Deletion> {
    try {
      const size = await this.#sizeOf(name);
      if (size < BACKUP_START || !beginsAsBackup(await this.#startOf(name))) return notABackup();
      await using command = new CommandSink(this.#to('delete', name, { file: name }));
      await untilAborted(command.finish(), this.#signal);
      return { result: 'DELETED', message: '' };
    } catch (error) {
      if (!(error instanceof StorageFailure)) throw error;
      if (error.failure.code === 'NOT_FOUND') return { result: 'ABSENT', message: '' };
      return { result: 'FAILED', message: error.inFull };
    }
  }

  async #startOf(name: string): Promise<Buffer> {
    await using range = this.#range(name, 0, BACKUP_START);
    const chunks: Buffer[] = [];
    for await (const bytes of untilEachAborted(range.read(), this.#signal)) chunks.push(bytes);
    return Buffer.concat(chunks);
  }

  #to(verb: Verb, what: string, { file = '', offset = '', length = '' } = {}): CommandLine {
    return {
      command: this.#command,
      cwd: this.#home,
      asked: `asked to ${verb} ${what}`,
      env: {
        PATH: `${process.env['PATH'] ?? '/usr/bin:/bin'}:${ownCommands()}`,
        ...{ COFFER_DO: verb, COFFER_DIRECTORY: this.path, COFFER_FILE: file },
        ...{ COFFER_OFFSET: offset, COFFER_LENGTH: length },
      },
    };
  }
}

function sizeIn({ entries }: DirectoryListing, name: string): number | undefined {
  return entries.find((entry) => entry.name === name && entry.kind === 'FILE')?.size;
}

function requireHarmless(name: string): void {
  if (HARMLESS_NAME.test(name)) return;
  throw new StorageFailure('BAD_REQUEST', 'a command cannot be given a file of this name');
}

/** Returns a command line unchanged. Throws StorageFailure if it is empty or has a NUL byte. */
export function requireCommand(command: string): string {
  if (command.trim() !== '' && !command.includes('\0')) return command;
  throw new StorageFailure('BAD_REQUEST', 'the command is empty or contains a NUL byte');
}
