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
  /** So many bytes of the archive are safe, as claimed by the storage: on its disk, or taken by the command. */
  readonly confirmedBytes: number;
  /** Throws when it has failed since something was written: for a sink to which nothing is written for long. */
  requireOpen(): Promise<void>;
  /** Resolves when the storage has confirmed length and SHA-256 of the whole. */
  finish(): Promise<StoredArchive>;
}

/**
 * A new file that goes on with ranges of others in the same directory, too. The SHA-256 of the stored archive is that
 * of what was written to it, without what was copied.
 */
export interface Assembly extends Sink {
  /**
   * Appends `length` bytes of another file. Resolves when the request was taken, which may be long before the bytes
   * are copied. What is copied is as untrusted as where it comes from.
   */
  copy(fileName: string, offset: number, length: number): Promise<void>;
}

/** What became of a file that was to be deleted. */
export interface DeletedBackup {
  readonly fileName: string;
  readonly result: DeletionResult;
  /** Why it is still there; printable. */
  readonly reason: string;
}

/**
 * Where an archive is read. The data is hostile until its MAC has been verified. All errors are RefusedError,
 * StorageError or the reason of the signal.
 */
export interface Source extends ByteSource, AsyncDisposable {
  /** For people: `sys-usb:/home/user/backups/qubes-backup-…`, `the command in sys-usb`. */
  readonly location: string;
  /** Of a file: where others are that it may need. */
  readonly place?: FileInDirectory;
}

/** A file and the directory that it is in, which is open as long as its source. */
export interface FileInDirectory {
  readonly file: OpenedFile;
  readonly files: OpenedDirectory;
  /** As the user gave it, for `browse`. */
  readonly directory: string;
}

/**
 * A directory whose files are read. Errors as of Source: a RefusedError when a file cannot be opened, a StorageError
 * when a range cannot be read; other files and ranges may be all right.
 */
export interface StoredFiles extends OpenedDirectory, AsyncDisposable {
  /** For people: `sys-usb:/home/user/backups`. */
  readonly location: string;
}

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
  /** There are more entries than are listed. */
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
   * @param expectedBytes refused if there is less space; undefined: unknown
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
  browse(directory: string, signal: AbortSignal): Promise<Listing>;
  /** As openSink. Throws NotOfferedError, too, when nothing is assembled there. */
  openAssembly(
    target: FileTarget,
    expectedBytes: number | undefined,
    signal: AbortSignal,
  ): Promise<Assembly>;
  /**
   * Deletes backups in a directory; without names it only finds out whether that is possible. The outcomes come in
   * the order of the names. Throws NotOfferedError when nothing is deleted there.
   */
  deleteBackups(
    directory: string,
    fileNames: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly DeletedBackup[]>;
}
