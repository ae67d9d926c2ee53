import type { DeletionResult, EntryKind } from '../../protocol/messages.ts';
import type {
  ByteSink,
  ByteSource,
  OpenedDirectory,
  OpenedFile,
} from '../../shared/byte-streams.ts';
import type { Space } from '../../shared/space.ts';

/** Where to store a stream: in a new file in a directory, or with a shell command. */
export type StoreTarget = FileTarget | { readonly command: string };

/** A new file in a directory. */
export interface FileTarget {
  readonly directory: string;
  readonly fileName: string;
}

/** Where to read a stream from: a file, or a shell command. */
export type FetchSource = { readonly file: string } | { readonly command: string };

/** A stored archive. */
export interface StoredArchive {
  /** For people: `sys-usb:/home/user/backups/qubes-backup-…`, `the command in sys-usb`. */
  readonly location: string;
  /** The resolved path, printable; undefined for a command. */
  readonly path: string | undefined;
  readonly bytes: number;
  /** In hex. */
  readonly sha256: string;
}

/**
 * Where an archive is written. Either `finish` has resolved, and the whole archive is stored; or the sink is
 * disposed of, and nothing of it remains. All errors are RefusedError, StorageError or the reason of the signal.
 */
export interface Sink extends ByteSink, AsyncDisposable {
  /** As in StoredArchive. */
  readonly location: string;
  /** Of the file system there, as claimed by the storage. */
  readonly space: Space;
  /** How many bytes of the archive are safe, as claimed by the storage: on its disk, or taken by the command. */
  readonly confirmedBytes: number;
  /** Throws if the sink has failed since the last write: for use when nothing is written for a long time. */
  requireOpen(): Promise<void>;
  /** Resolves when the storage has confirmed the length and the SHA-256 of the whole archive. */
  finish(): Promise<StoredArchive>;
}

/**
 * A new file into which ranges of others in the same directory can be copied. The SHA-256 in its StoredArchive is that
 * of everything that was sent to the storage, which is without what the storage copied.
 */
export interface Assembly extends Sink {
  /**
   * Appends `length` bytes of another file. Resolves when the request has been accepted, which may be long before the
   * bytes are copied. What is copied is as untrusted as the file that it comes from.
   */
  copy(fileName: string, offset: number, length: number): Promise<void>;
}

/** The result for a file that was to be deleted. */
export interface DeletedBackup {
  readonly fileName: string;
  readonly result: DeletionResult;
  /** Why it was not deleted; printable. */
  readonly reason: string;
}

/**
 * Where an archive is read. The data is hostile until its MAC has been verified. All errors are RefusedError,
 * StorageError or the reason of the signal.
 */
export interface Source extends ByteSource, AsyncDisposable {
  /** For people: `sys-usb:/home/user/backups/qubes-backup-…`, `the command in sys-usb`. */
  readonly location: string;
  /** For a file: where it is, with the others that it may need. */
  readonly place?: FileInDirectory;
}

/** A file and the directory that it is in, which stays open as long as its Source. */
export interface FileInDirectory {
  readonly file: OpenedFile;
  readonly files: StoredFiles;
  /** As the user gave it, for `browse`. */
  readonly directory: string;
}

/**
 * A directory whose files are read. Errors are as in Source: a RefusedError when a file cannot be opened, a
 * StorageError when a range cannot be read. Other files and ranges may still be readable.
 */
export interface StoredFiles extends OpenedDirectory, AsyncDisposable {
  /** For people: `sys-usb:/home/user/backups`. */
  readonly location: string;
}

/** An entry of a directory. */
export interface ListedEntry {
  /** Unfiltered: to be used in requests, not to be shown without `printable`. */
  readonly untrustedName: string;
  readonly kind: EntryKind;
  /** Of a file, in bytes. */
  readonly size: number;
}

/** What is in a directory. */
export interface Listing {
  /** The resolved path, printable. */
  readonly path: string;
  readonly space: Space;
  /** Sorted by name; at most 10,000. */
  readonly entries: readonly ListedEntry[];
  /** Whether there are more entries than are listed. */
  readonly truncated: boolean;
}

/** The order of a listing. */
export function compareEntries(one: ListedEntry, other: ListedEntry): number {
  if (one.untrustedName === other.untrustedName) return 0;
  return one.untrustedName < other.untrustedName ? -1 : 1;
}

/** A place for archives: a storage VM, or dom0. */
export interface Storage {
  /** The VM's name, or `dom0`. */
  readonly owner: string;
  /**
   * Begins a new archive.
   *
   * @param expectedBytes if there is less space, this is refused; undefined: unknown
   * @throws RefusedError when it cannot start: no directory, no space, the name is taken
   */
  openSink(
    target: StoreTarget,
    expectedBytes: number | undefined,
    signal: AbortSignal,
  ): Promise<Sink>;
  /** Throws RefusedError when there is no such directory. */
  openFiles(directory: string, signal: AbortSignal): Promise<StoredFiles>;
  /** Throws RefusedError when there is no such file. */
  openSource(source: FetchSource, signal: AbortSignal): Promise<Source>;
  /** Lists a directory. Throws RefusedError when there is no such directory. */
  browse(directory: string, signal: AbortSignal): Promise<Listing>;
  /** As openSink, but it also throws NotOfferedError when this storage cannot assemble. */
  openAssembly(
    target: FileTarget,
    expectedBytes: number | undefined,
    signal: AbortSignal,
  ): Promise<Assembly>;
  /**
   * Deletes backups in a directory; without names it only finds out whether that is possible. The results are in the
   * order of the names. Throws NotOfferedError when this storage cannot delete.
   */
  deleteBackups(
    directory: string,
    fileNames: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly DeletedBackup[]>;
}
