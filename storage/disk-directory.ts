import path from 'node:path';
import type { Space } from '../shared/space.ts';
import { AtomicFile } from './atomic-file.ts';
import { deleteBackup, requireDeletable } from './delete-backups.ts';
import type { Deletion, Directory, DirectoryListing, StoredFile } from './directory.ts';
import { listDirectory, spaceIn } from './list-directory.ts';
import type { LocalSink } from './local-streams.ts';
import { RegularFile } from './regular-file.ts';
import { requireDirectory, requirePlainName } from './resolve-path.ts';

/** A directory in a file system. */
export class DiskDirectory implements Directory {
  readonly path: string;
  readonly ahead = 1;

  /** @param path absolute */
  constructor(path: string) {
    this.path = path;
  }

  requireThere(): Promise<void> {
    return requireDirectory(this.path);
  }

  list(): Promise<DirectoryListing> {
    return listDirectory(this.path);
  }

  space(): Promise<Space> {
    return spaceIn(this.path);
  }

  create(name: string, expectedBytes: number | undefined): Promise<LocalSink> {
    return AtomicFile.create(this.path, name, expectedBytes);
  }

  async open(name: string, buffer?: Buffer): Promise<StoredFile> {
    requirePlainName(name);
    return RegularFile.open(path.join(this.path, name), buffer);
  }

  requireDeletable(names: readonly string[]): Promise<void> {
    return requireDeletable(this.path, names);
  }

  deleteBackup(name: string): Promise<Deletion> {
    return deleteBackup(this.path, name);
  }
}
