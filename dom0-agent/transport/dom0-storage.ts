import { untilAborted } from '../../protocol/timeout.ts';
import { printable } from '../../shared/printable.ts';
import { Dom0Files } from './dom0-files.ts';
import { Dom0Sink } from './dom0-sink.ts';
import { Dom0Source } from './dom0-source.ts';
import { toUserError } from './storage-errors.ts';
import { openDirectory } from '../../storage/open-directory.ts';
import { FilesThrough } from './files-through.ts';
import { type NamedPlace, pathThrough, placeOf } from './location.ts';
import { SingleFile } from './single-file.ts';
import { compareEntries } from './storage.ts';
import type {
  Assembly,
  DeletedBackup,
  FetchSource,
  FileTarget,
  Listing,
  Sink,
  Source,
  Storage,
  StoreTarget,
  StoredFiles,
} from './storage.ts';

/** dom0 itself as storage. */
export class Dom0Storage implements Storage {
  readonly owner = 'dom0';
  readonly #through: string | undefined;

  /** @param through a shell command that gives access to the directories */
  constructor(through?: string) {
    this.#through = through;
  }

  openSink(
    target: StoreTarget,
    expectedBytes: number | undefined,
    signal: AbortSignal,
  ): Promise<Sink> {
    return Dom0Sink.open(target, expectedBytes, signal, this.#through);
  }

  openAssembly(
    target: FileTarget,
    expectedBytes: number | undefined,
    signal: AbortSignal,
  ): Promise<Assembly> {
    return Dom0Sink.open(target, expectedBytes, signal, this.#through);
  }

  async deleteBackups(
    directory: string,
    fileNames: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly DeletedBackup[]> {
    try {
      const named = { directory, through: this.#through };
      const opened = openDirectory(process.cwd(), named, signal);
      await opened.requireDeletable(fileNames);
      const deletions: DeletedBackup[] = [];
      for (const fileName of fileNames) {
        signal.throwIfAborted();
        const { result, message } = await opened.deleteBackup(fileName);
        deletions.push({ fileName, result, reason: printable(message) });
      }
      return deletions;
    } catch (error) {
      throw toUserError(error, placeOf(this.owner, { directory, fileName: '' }), false);
    }
  }

  openFiles(directory: string, signal: AbortSignal): Promise<StoredFiles> {
    const place = placeOf(this.owner, { directory, fileName: '' });
    return this.#openFiles(directory, place, signal);
  }

  async #openFiles(
    directory: string,
    place: NamedPlace,
    signal: AbortSignal,
  ): Promise<StoredFiles> {
    const through = this.#through;
    const files = await Dom0Files.open({ directory, through }, place, signal);
    return through === undefined ? files : new FilesThrough(files);
  }

  async openSource(source: FetchSource, signal: AbortSignal): Promise<Source> {
    if ('command' in source) return Dom0Source.open(source.command, signal);
    const through = this.#through;
    return SingleFile.open(this.owner, { ...source, through }, (directory, place) =>
      this.#openFiles(directory, place, signal),
    );
  }

  async browse(directory: string, signal: AbortSignal): Promise<Listing> {
    try {
      signal.throwIfAborted();
      const through = this.#through;
      const opened = openDirectory(process.cwd(), { directory, through }, signal);
      const { space, entries, truncated } = await untilAborted(opened.list(), signal);
      const path = pathThrough(printable(opened.path), through);
      const listed = entries.map(({ name, kind, size }) => ({ untrustedName: name, kind, size }));
      return { path, space, entries: listed.sort(compareEntries), truncated };
    } catch (error) {
      throw toUserError(error, placeOf(this.owner, { directory, fileName: '' }), false);
    }
  }
}
