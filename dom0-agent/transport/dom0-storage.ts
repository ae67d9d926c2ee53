import { printable } from '../../shared/printable.ts';
import { listDirectory } from '../../storage/list-directory.ts';
import { Dom0Files } from './dom0-files.ts';
import { Dom0Sink } from './dom0-sink.ts';
import { Dom0Source } from './dom0-source.ts';
import { toUserError } from './storage-errors.ts';
import { deleteBackup, requireDeletable } from '../../storage/delete-backups.ts';
import { resolvePath } from '../../storage/resolve-path.ts';
import { placeOf } from './location.ts';
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

  openSink(
    target: StoreTarget,
    expectedBytes: number | undefined,
    signal: AbortSignal,
  ): Promise<Sink> {
    return Dom0Sink.open(target, expectedBytes, signal);
  }

  openAssembly(
    target: FileTarget,
    expectedBytes: number | undefined,
    signal: AbortSignal,
  ): Promise<Assembly> {
    return Dom0Sink.open(target, expectedBytes, signal);
  }

  async deleteBackups(
    directory: string,
    fileNames: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly DeletedBackup[]> {
    try {
      const resolved = resolvePath(process.cwd(), directory);
      await requireDeletable(resolved, fileNames);
      const deletions: DeletedBackup[] = [];
      for (const fileName of fileNames) {
        signal.throwIfAborted();
        const { result, message } = await deleteBackup(resolved, fileName);
        deletions.push({ fileName, result, reason: printable(message) });
      }
      return deletions;
    } catch (error) {
      throw toUserError(error, placeOf(this.owner, { directory, fileName: '' }), false);
    }
  }

  openFiles(directory: string, signal: AbortSignal): Promise<StoredFiles> {
    return Dom0Files.open(directory, placeOf(this.owner, { directory, fileName: '' }), signal);
  }

  async openSource(source: FetchSource, signal: AbortSignal): Promise<Source> {
    if ('command' in source) return Dom0Source.open(source.command, signal);
    return SingleFile.open(this.owner, source.file, (directory, place) =>
      Dom0Files.open(directory, place, signal),
    );
  }

  async browse(directory: string, signal: AbortSignal): Promise<Listing> {
    try {
      signal.throwIfAborted();
      const { path, space, entries, truncated } = await listDirectory(
        resolvePath(process.cwd(), directory),
      );
      const listed = entries.map(({ name, kind, size }) => ({ untrustedName: name, kind, size }));
      return { path: printable(path), space, entries: listed.sort(compareEntries), truncated };
    } catch (error) {
      throw toUserError(error, placeOf(this.owner, { directory, fileName: '' }), false);
    }
  }
}
