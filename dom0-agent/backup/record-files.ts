import { type FileHandle, chmod, mkdir, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { FailedError, reasonOf, systemCodeOf } from '../../shared/errors.ts';
import { MiB } from '../../shared/sizes.ts';
import { whileLocked } from '../qubes/file-lock.ts';
import { replaceFile } from '../qubes/replace-file.ts';
import { type BackupRecord, formatRecord, mergeRecords, parseRecord } from './backup-record.ts';

/** Where the record of backups is. */
export interface RecordFiles {
  /** The file for this user's backups and checks. */
  readonly own: string;
  /** Files of other users, which are only read: root's. */
  readonly others: readonly string[];
}

const LARGEST_RECORD = 4 * MiB;

/** A file of the record cannot be read, or holds no record. */
class DamagedRecordError extends FailedError {}

/** This user may not read a file of the record, which may be in order. */
class DeniedRecordError extends FailedError {}

/**
 * The records of all files together. A file that is missing is skipped; one that is damaged, or that this user may not
 * read, is reported to `warn`.
 */
export async function readRecord(
  { own, others }: RecordFiles,
  warn: (text: string) => void,
): Promise<BackupRecord> {
  let record: BackupRecord = new Map();
  for (const file of [own, ...others]) {
    try {
      record = mergeRecords(record, await readRecordFile(file));
    } catch (error) {
      if (error instanceof DeniedRecordError) {
        warn(`${error.message}: backups that only it tells of are not known`);
        continue;
      }
      if (!(error instanceof DamagedRecordError)) throw error;
      warn(`${error.message}: what it said about backups is lost`);
    }
  }
  return record;
}

/**
 * Replaces this user's file with what `change` returns for the record: atomically, and under a lock. A damaged file is
 * set aside, under a name that ends with `.damaged`.
 */
export async function changeRecord(
  files: RecordFiles,
  change: (record: BackupRecord) => BackupRecord,
): Promise<void> {
  const { own } = files;
  await makeReadableDirectory(dirname(own));
  await whileLocked(`${own}.lock`, async () => {
    try {
      await readRecordFile(own);
    } catch (error) {
      if (!(error instanceof DamagedRecordError)) throw error;
      await rename(own, `${own}.damaged`);
    }
    const text = formatRecord(change(await readRecord(files, () => undefined)));
    await replaceFile(own, async (file) => {
      await file.writeFile(text);
      // Set regardless of the umask: with that of the timer, dom0's user could not read it.
      await file.chmod(0o644);
    });
  });
}

/** Makes a directory that everybody may read: with the timer's umask, dom0's user could not. */
export async function makeReadableDirectory(directory: string): Promise<void> {
  const made = await mkdir(directory, { recursive: true });
  if (made !== undefined) await chmod(directory, 0o755);
}

async function readRecordFile(file: string): Promise<BackupRecord> {
  let handle: FileHandle;
  try {
    handle = await open(file);
  } catch (error) {
    const code = systemCodeOf(error) ?? '';
    if (['ENOENT', 'ENOTDIR'].includes(code)) return new Map();
    if (code === 'EACCES') throw new DeniedRecordError(describeUnreadable(file, error));
    throw unreadable(file, error);
  }
  try {
    const stats = await handle.stat();
    if (!stats.isFile() || stats.size > LARGEST_RECORD) throw damaged(file);
    const record = parseRecord(await handle.readFile('utf8'));
    if (record === undefined) throw damaged(file);
    return record;
  } catch (error) {
    throw error instanceof FailedError ? error : unreadable(file, error);
  } finally {
    await handle.close();
  }
}

function damaged(file: string): DamagedRecordError {
  return new DamagedRecordError(`the record of backups, ${file}, is damaged`);
}

function unreadable(file: string, error: unknown): DamagedRecordError {
  return new DamagedRecordError(describeUnreadable(file, error), { cause: error });
}

function describeUnreadable(file: string, error: unknown): string {
  return `the record of backups, ${file}, cannot be read: ${reasonOf(error)}`;
}
