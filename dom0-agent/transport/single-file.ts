import path from 'node:path';
import type { OpenedFile } from '../../shared/byte-streams.ts';
import { printable } from '../../shared/printable.ts';
import { StorageFailure } from '../../storage/storage-failure.ts';
import { type NamedPlace, fileIn, placeOf } from './location.ts';
import { toUserError } from './storage-errors.ts';
import type { FileInDirectory, Source, StoredFiles } from './storage.ts';

/** The names that coffer gives files. */
const OURS = /^qubes-(backup|data|pack)-[0-9T-]+$/;

/** A file as the user named it. */
interface NamedFile {
  readonly file: string;
  /** A shell command that leads to its directory. */
  readonly through: string | undefined;
}

/** One file of a directory, which is closed with it. */
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
   * What a command leads to cannot be told by looking: it is a directory, unless its name is one that coffer gives files.
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
    const isDirectory = through === undefined ? ['', '.', '..'].includes(name) : !OURS.test(name);
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
