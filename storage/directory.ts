import type { DeletionResult, Entry } from '../protocol/messages.ts';
import type { Space } from '../shared/space.ts';
import type { LocalSink } from './local-streams.ts';

/** A directory of backups: in a file system, or what a command makes of some other place. All errors are StorageFailures. */
export interface Directory {
  /** For people. */
  readonly path: string;
  /** So many ranges of its files may be begun at the same time. */
  readonly ahead: number;
  /** Whether there is one, as far as that is known without listing it. */
  requireThere(): Promise<void>;
  /** Its entries, up to MOST_ENTRIES, and its free space. */
  list(): Promise<DirectoryListing>;
  /** Of its file system. */
  space(): Promise<Space>;
  /**
   * A new file. Existing ones are never overwritten.
   *
   * @param name one plain component
   * @param expectedBytes refused at once, as NO_SPACE, when the file system is known to have less left
   */
  create(name: string, expectedBytes: number | undefined): Promise<LocalSink>;
  /**
   * @param buffer of LONGEST_DATA bytes, reused for every chunk, which is then valid only until the next one is asked for;
   *   undefined: new memory for each
   */
  open(name: string, buffer?: Buffer): Promise<StoredFile>;
  /** To be called before the first file is deleted: when it throws, none is to be. */
  requireDeletable(names: readonly string[]): Promise<void>;
  /** Deletes a backup, and nothing else. That it is not there is no error. Throws nothing but our own bugs. */
  deleteBackup(name: string): Promise<Deletion>;
}

export interface DirectoryListing {
  readonly path: string;
  readonly space: Space;
  /** In no particular order. */
  readonly entries: readonly Entry[];
  /** There are more entries than are listed. */
  readonly truncated: boolean;
}

/** A file of a directory, to be read. */
export interface StoredFile extends AsyncDisposable {
  /** In bytes. */
  readonly size: number;
  /** The bytes from `from` up to, not including, `to`, which is at most the size. Whoever begins a range disposes of it. */
  range(from: number, to: number): BegunRange;
}

/** A range of a file, which may be under way before it is read. */
export interface BegunRange extends AsyncDisposable {
  /** Once, in chunks of at most LONGEST_DATA. It ends only when all of them were there. */
  read(): AsyncIterable<Buffer>;
}

/** What became of a file that was to be deleted. */
export interface Deletion {
  readonly result: DeletionResult;
  /** Why not; empty where it was deleted, or is not there. */
  readonly message: string;
}
