import { constants } from 'node:fs';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import path from 'node:path';
import { reasonOf, systemCodeOf } from '../shared/errors.ts';
import { BLOCK } from '../shared/tar-block.ts';
import type { Deletion } from './directory.ts';
import { requireDirectory, requirePlainName } from './resolve-path.ts';

/** How each file in our own format begins: a name in the first block of the tar, and a line after that block. */
const MEMBER = Buffer.from('backup-header\0', 'latin1');
const FIRST_LINE = Buffer.from('format=coffer-1\n', 'latin1');
/** How many bytes at the start of a file show whether it is a backup. */
export const BACKUP_START = BLOCK + FIRST_LINE.length;

/**
 * To be called before the first file is deleted. Throws StorageFailure if the directory is not one, or a name is not
 * one plain component: then no file may be deleted.
 */
export async function requireDeletable(directory: string, names: readonly string[]): Promise<void> {
  names.forEach(requirePlainName);
  await requireDirectory(directory);
}

/**
 * Deletes a backup and nothing else: a regular file, not a link to one, that begins like coffer's own backups. That it
 * does not exist is not an error. Every system error is reported in the result.
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

/** The result for a file that was left alone. */
export function notABackup(message = 'it is not a backup made by coffer'): Deletion {
  return { result: 'NOT_A_BACKUP', message };
}

async function isBackup(file: string): Promise<boolean> {
  // Do not follow a link, and do not wait for the writer of a named pipe.
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
