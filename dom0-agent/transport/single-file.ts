import path from 'node:path';
import type { OpenedFile } from '../../shared/byte-streams.ts';
import { printable } from '../../shared/printable.ts';
import { StorageFailure } from '../../storage/storage-failure.ts';
import { type NamedPlace, fileIn, placeOf } from './location.ts';
import { toUserError } from './storage-errors.ts';
import type { FileInDirectory, Source, StoredFiles } from './storage.ts';

/** Whether this is a name that coffer gives to files. */
export function isNameOfOurs(name: string): boolean {
  return /^qubes-(backup|data|pack)-[0-9T-]+$/.test(name);
}

/** A file as the user named it. */
interface NamedFile {
  readonly file: string;
  /** A shell command that gives access to its directory. */
  readonly through: string | undefined;
}

/** One file of a directory; disposing of it also closes the directory. */
export class SingleFile implements Source {
  readonly location: string;
  readonly size: number;
  readonly seekable = true;
  readonly place: FileInDirectory;
  readonly #files: StoredFiles;

  private constructor(files: StoredFiles, file: OpenedFile, directory: string, location: string) {
    this.#files = files;
    this.place = { file, files, directory };
    this.size = file.size;
    this.location = location;
  }

  /**
   * Opens a file. Behind a command, only its name shows what it is: without one of coffer's names for files, it is
   * taken for a directory, which is refused.
   *
   * @param openFiles opens a directory, for a place that errors name
   * @throws RefusedError
   */
  static async open(
    owner: string,
    { file, through }: NamedFile,
    openFiles: (directory: string, place: NamedPlace) => Promise<StoredFiles>,
  ): Promise<SingleFile> {
    const place = placeOf(owner, { file });
    const name = path.posix.basename(file);
    const isDirectory =
      through === undefined ? ['', '.', '..'].includes(name) : !isNameOfOurs(name);
    if (file !== '' && isDirectory) {
      throw toUserError(new StorageFailure('NOT_A_FILE', 'it is a directory'), place, false);
    }
    const directory = file === '' ? '' : path.posix.dirname(file);
    const files = await openFiles(directory, place);
    try {
      const location = fileIn(files.location, printable(name));
      return new SingleFile(files, await files.open(name), directory, location);
    } catch (error) {
      await files[Symbol.asyncDispose]();
      throw error;
    }
  }

  read(from?: number, to?: number): AsyncIterable<Buffer> {
    return this.place.file.read(from, to);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#files[Symbol.asyncDispose]();
  }
}
