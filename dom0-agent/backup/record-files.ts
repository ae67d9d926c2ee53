import { type FileHandle, chmod, mkdir, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { FailedError, reasonOf, systemCodeOf } from '../../shared/errors.ts';
import { MiB } from '../../shared/sizes.ts';
import { whileLocked } from '../qubes/file-lock.ts';
import { replaceFile } from '../qubes/replace-file.ts';
import { type BackupRecord, formatRecord, mergeRecords, parseRecord } from './backup-record.ts';

/** Where the record of backups is. */
export interface RecordFiles {
  /** What this user's backups and checks are noted in. */
  readonly own: string;
  /** What root's are, which others read. */
  readonly others: readonly string[];
}

const LARGEST_RECORD = 4 * MiB;

/** A file of the record that holds no record. */
class DamagedRecordError extends FailedError {}

/**
 * What all files of the record say. One that is not there, or that this user may not read, says nothing; one that
 * is damaged is reported to `warn`.
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
      if (!(error instanceof DamagedRecordError)) throw error;
      warn(`${error.message}: what it said about backups is lost`);
    }
  }
  return record;
}

/**
 * Replaces this user's file by what `change` makes of the record: all or nothing, one process after the other. A
 * damaged file is set aside, under a name that ends with `.damaged`.
 */
export async function changeRecord(
  files: RecordFiles,
  change: (record: BackupRecord) => BackupRecord,
): Promise<void> {
  const { own } = files;
  await makeDirectory(dirname(own));
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
      // Whatever the umask: that of the timer would keep it from dom0's user.
      await file.chmod(0o644);
    });
  });
}

/** What is made is for all to read: the timer's umask would keep it from dom0's user. */
async function makeDirectory(directory: string): Promise<void> {
  const made = await mkdir(directory, { recursive: true });
  if (made !== undefined) await chmod(directory, 0o755);
}

async function readRecordFile(file: string): Promise<BackupRecord> {
  let handle: FileHandle;
  try {
    handle = await open(file);
  } catch (error) {
    if (['ENOENT', 'EACCES', 'ENOTDIR'].includes(systemCodeOf(error) ?? '')) return new Map();
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
  return new DamagedRecordError(
    `the record of backups, ${file}, cannot be read: ${reasonOf(error)}`,
    { cause: error },
  );
}
