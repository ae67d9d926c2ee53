import { stat } from 'node:fs/promises';
import path from 'node:path';
import { StorageFailure, toStorageFailure } from './storage-failure.ts';

/** A path as an absolute one; a relative one is relative to `base`. Throws StorageFailure. */
export function resolvePath(base: string, given: string): string {
  if (given === '' || given.includes('\0')) {
    throw new StorageFailure('BAD_REQUEST', 'the path is empty or contains a NUL byte');
  }
  return path.resolve(base, given);
}

/** Throws StorageFailure unless the name is one plain component of a path. */
export function requirePlainName(name: string): void {
  if (name === '' || name === '.' || name === '..' || /[/\0]/.test(name)) {
    throw new StorageFailure('BAD_REQUEST', 'the name of the file is not a plain name');
  }
}

/** Throws StorageFailure unless the directory is there. */
export async function requireDirectory(directory: string): Promise<void> {
  const stats = await stat(directory).catch((error: unknown) => {
    throw toStorageFailure(error);
  });
  if (stats.isDirectory()) return;
  throw new StorageFailure('NOT_A_DIRECTORY', `${directory} is not a directory`);
}
