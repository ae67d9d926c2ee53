import { constants } from 'node:fs';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import path from 'node:path';
import { reasonOf, systemCodeOf } from '../shared/errors.ts';
import { BLOCK } from '../shared/tar-block.ts';
import type { Deletion } from './directory.ts';
import { requireDirectory, requirePlainName } from './resolve-path.ts';

/** How each file of our own format begins: the name in the first block of the tar, and the line behind the block. */
const MEMBER = Buffer.from('backup-header\0', 'latin1');
const FIRST_LINE = Buffer.from('format=coffer-1\n', 'latin1');
/** So much of it tells. */
export const BACKUP_START = BLOCK + FIRST_LINE.length;

/**
 * To be called before the first file is deleted. Throws StorageFailure when it is no directory, or one of the names is
 * not plain: then none is to be deleted.
 */
export async function requireDeletable(directory: string, names: readonly string[]): Promise<void> {
  names.forEach(requirePlainName);
  await requireDirectory(directory);
}

/**
 * Deletes a backup, and nothing else: a regular file, no link to one, that begins as one of coffer's own backups. That
 * it is not there is no error. Throws nothing but our own bugs.
 */
export async function deleteBackup(directory: string, name: string): Promise<Deletion> {
  const file = path.join(directory, name);
  try {
    if (!(await isBackup(file))) return notABackup();
    await unlink(file);
    return { result: 'DELETED', message: '' };
  } catch (error) {
    switch (systemCodeOf(error)) {
      case undefined:
        throw error;
      case 'ENOENT':
        return { result: 'ABSENT', message: '' };
      case 'ELOOP':
        return notABackup('it is a symbolic link');
      case 'ENXIO':
        return notABackup('it is not a regular file');
      default:
        return { result: 'FAILED', message: reasonOf(error) };
    }
  }
}

export function notABackup(message = 'it is not a backup made by coffer'): Deletion {
  return { result: 'NOT_A_BACKUP', message };
}

async function isBackup(file: string): Promise<boolean> {
  // Follows no link, and does not wait for the writer of a named pipe.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const handle = await open(file, flags);
  try {
    return (await handle.stat()).isFile() && beginsAsBackup(await startOf(handle));
  } finally {
    await handle.close();
  }
}

async function startOf(handle: FileHandle): Promise<Buffer> {
  const start = Buffer.alloc(BACKUP_START);
  const { bytesRead } = await handle.read(start, 0, start.length, 0);
  return start.subarray(0, bytesRead);
}

/** Whether the first BACKUP_START bytes of a file are those of a backup. */
export function beginsAsBackup(start: Buffer): boolean {
  return (
    start.length === BACKUP_START &&
    start.subarray(0, MEMBER.length).equals(MEMBER) &&
    start.subarray(BLOCK).equals(FIRST_LINE)
  );
}
