import type { DeletionResult, Entry } from '../protocol/messages.ts';
import type { Space } from '../shared/space.ts';
import type { LocalSink } from './local-streams.ts';

/** A directory of backups, in a file system or behind a command. All errors are StorageFailures. */
export interface Directory {
  /** For people. */
  readonly path: string;
  /** How many ranges of its files may be begun at the same time. */
  readonly ahead: number;
  /** Throws if the directory does not exist, as far as that can be known without listing it. */
  requireThere(): Promise<void>;
  /** Its entries, up to MOST_ENTRIES, and its free space. */
  list(): Promise<DirectoryListing>;
  /** The space in its file system. */
  space(): Promise<Space>;
  /**
   * Creates a new file. Existing ones are never overwritten.
   *
   * @param name one plain component
   * @param expectedBytes if the file system is known to have less free space, this is refused at once, as NO_SPACE
   */
  create(name: string, expectedBytes: number | undefined): Promise<LocalSink>;
  /**
   * Opens a file for reading.
   *
   * @param buffer of LONGEST_DATA bytes, may be reused for every chunk, which is then valid only until the next one is
   *   requested; undefined: new memory for each
   */
  open(name: string, buffer?: Buffer): Promise<StoredFile>;
  /** To be called before the first file is deleted: if it throws, no file may be deleted. */
  requireDeletable(names: readonly string[]): Promise<void>;
  /** Deletes a backup and nothing else. That it does not exist is not an error. Failures are in the result. */
  deleteBackup(name: string): Promise<Deletion>;
}

/** What is in a directory. */
export interface DirectoryListing {
  /** For people. */
  readonly path: string;
  readonly space: Space;
  /** In no particular order. */
  readonly entries: readonly Entry[];
  /** Whether there are more entries than are listed. */
  readonly truncated: boolean;
}

/** A file of a directory, to be read. */
export interface StoredFile extends AsyncDisposable {
  /** In bytes. */
  readonly size: number;
  /** The bytes from `from` up to, not including, `to`, which is at most the size. The caller disposes of the range. */
  range(from: number, to: number): BegunRange;
}

/** A range of a file, which may already be on its way before it is read. */
export interface BegunRange extends AsyncDisposable {
  /** The bytes, once, in chunks of at most LONGEST_DATA. Throws if some of them are missing. */
  read(): AsyncIterable<Buffer>;
}

/** The result for a file that was to be deleted. */
export interface Deletion {
  readonly result: DeletionResult;
  /** Why it was not deleted; empty if it was, or does not exist. */
  readonly message: string;
}
