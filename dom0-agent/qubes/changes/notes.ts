import { type FileHandle, mkdir, open, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { FailedError, messageOf, systemCodeOf } from '../../../shared/errors.ts';
import { KiB } from '../../../shared/sizes.ts';
import { replaceFile, replaceFiles } from '../replace-file.ts';

/** What was recorded about a volume or a pool: strings by name. */
export type Note = Readonly<Record<string, string>>;

/** In bytes. */
const LARGEST_NOTE = 64 * KiB;
const SUFFIX = '.json';

/** How the names of notes about volumes begin. */
export const VOLUME_NOTE = 'volume.';

/**
 * The name of the note about a volume.
 *
 * @param key see `TrackedVolume`
 */
export function volumeNote(key: string): string {
  return VOLUME_NOTE + key;
}

/** The name of the note that says that a pool's detector is no longer trusted. */
export function distrustNote(pool: string): string {
  return `distrusted.${encodeURIComponent(pool)}`;
}

/**
 * The directory in dom0's state with notes about what volumes and pools were like at the last backup. If one is missing
 * or cannot be read, everything is read.
 */
export class Notes {
  readonly directory: string;

  private constructor(directory: string) {
    this.directory = directory;
  }

  /** Creates the directory if it is missing. Throws FailedError. */
  static async open(directory: string): Promise<Notes> {
    await mkdir(directory, { recursive: true, mode: 0o700 }).catch(cannotNote(directory));
    return new Notes(directory);
  }

  /** For reading only: the directory need not exist. */
  static in(directory: string): Notes {
    return new Notes(directory);
  }

  /** Where `name` is kept; also for files beside the notes. */
  pathOf(name: string): string {
    return join(this.directory, name);
  }

  /** Undefined if there is no such note, or it is not valid. */
  async read(name: string): Promise<Note | undefined> {
    try {
      await using file = await open(this.pathOf(name + SUFFIX));
      const stats = await file.stat();
      return stats.size > LARGEST_NOTE ? undefined : parseNote(await file.readFile('utf8'));
    } catch (error) {
      if (systemCodeOf(error) !== undefined) return undefined;
      throw error;
    }
  }

  /** Replaces a note atomically. Throws FailedError. */
  async write(name: string, note: Note): Promise<void> {
    const path = this.pathOf(name + SUFFIX);
    await replaceFile(path, (file) => fill(file, note)).catch(cannotNote(path));
  }

  /** Replaces several notes, each atomically. Throws FailedError. */
  async writeAll(notes: ReadonlyMap<string, Note>): Promise<void> {
    const files = Array.from(
      notes,
      ([name, note]) => [name + SUFFIX, (file: FileHandle) => fill(file, note)] as const,
    );
    await replaceFiles(this.directory, new Map(files)).catch(cannotNote(this.directory));
  }

  async remove(name: string): Promise<void> {
    await rm(this.pathOf(name + SUFFIX), { force: true });
  }

  /** All notes whose names begin with `prefix`, by name. */
  async all(prefix: string): Promise<Map<string, Note>> {
    const notes = new Map<string, Note>();
    for (const file of await this.#files()) {
      if (!file.startsWith(prefix) || !file.endsWith(SUFFIX)) continue;
      const name = file.slice(0, -SUFFIX.length);
      const note = await this.read(name);
      if (note !== undefined) notes.set(name, note);
    }
    return notes;
  }

  /** Removes the files whose names end with `suffix`, except those in `kept`. */
  async removeOthers(suffix: string, kept: ReadonlySet<string>): Promise<void> {
    const others = (await this.#files()).filter((file) => file.endsWith(suffix) && !kept.has(file));
    for (const file of others) await rm(this.pathOf(file), { force: true });
  }

  async #files(): Promise<string[]> {
    return await readdir(this.directory).catch(cannotNote(this.directory));
  }
}

async function fill(file: FileHandle, note: Note): Promise<void> {
  await file.writeFile(`${JSON.stringify(note)}\n`);
}

function parseNote(text: string): Note | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof parsed !== 'object' || parsed === null) return undefined;
  const words = Object.entries(parsed).filter((entry): entry is [string, string] => {
    return typeof entry[1] === 'string';
  });
  return Object.fromEntries(words);
}

function cannotNote(path: string): (error: unknown) => never {
  return (error) => {
    throw new FailedError(
      `the state of volumes cannot be recorded in ${path}: ${messageOf(error)}`,
      {
        cause: error,
      },
    );
  };
}
