import { CofferError, DamagedError, RefusedError, StorageError } from '../../shared/errors.ts';
import type { BackupCheck } from '../backup/backup-record.ts';
import { type NewFile, readBack } from '../backup/read-back.ts';
import type { Storage, StoredFiles } from '../transport/storage.ts';
import type { Confirmation } from './progress.ts';
import type { BackupContext } from './propose-backup.ts';

/** The result of reading back a backup that was just stored. */
export type StoredCheck = (
  | { readonly result: 'verified' | 'left out' }
  /** Something else was returned; or it could not be read back, and may be complete. */
  | { readonly result: 'damaged' | 'not read'; readonly error: CofferError }
) & {
  /** The results for the files that were read, by their ids. */
  readonly checks: ReadonlyMap<string, BackupCheck>;
};

/**
 * Reads back what was stored, and shows the progress. Leaves that out if the user does not want it, or if a command got
 * the backup.
 *
 * @param files the backup's own file first, then those that it needs and that were never read back
 * @param earlier the names of those that it may need: another user or machine may have deleted them meanwhile
 */
export async function checkStored(
  storage: Storage,
  files: readonly NewFile[],
  earlier: readonly string[],
  { request: { flags, location: directory }, report, signal }: BackupContext,
): Promise<StoredCheck> {
  const checks = new Map<string, BackupCheck>();
  if (flags.command === true || !flags.check) return { result: 'left out', checks };
  const name = files[0]?.stored.location ?? '';
  const total = files.reduce((sum, { stored }) => sum + stored.bytes, 0);
  const standing = (): Confirmation => ({ archiveBytes: total, dataBytes: report.read });
  report.startProgress('check', [{ name, total }], standing);
  const note = ({ written }: NewFile, result: BackupCheck['result']): void => {
    if (written === undefined) return;
    checks.set(written.name.backupId, { at: Math.floor(Date.now() / 1000), result });
  };
  let present = files[0];
  let read = 0;
  try {
    await using directoryThere = await storage.openFiles(directory, signal);
    for (const file of files) {
      present = file;
      await readBack(directoryThere, file, (more) => report.progress(name, more), signal);
      note(file, 'verified');
      // Only parts were counted so far, but the rest of the file was read as well.
      read += file.stored.bytes;
      report.progress(name, read - report.read);
    }
    for (const fileName of earlier) await requireThere(directoryThere, fileName);
    return { result: 'verified', checks };
  } catch (error) {
    if (!(error instanceof CofferError)) throw error;
    if (!(error instanceof DamagedError)) return { result: 'not read', error, checks };
    if (present !== undefined) note(present, 'damaged');
    return { result: 'damaged', error, checks };
  } finally {
    report.endProgress();
  }
}

/** Throws GoneError if the storage no longer has this file. */
async function requireThere(directory: StoredFiles, fileName: string): Promise<void> {
  try {
    await directory.open(fileName);
  } catch (error) {
    if (error instanceof RefusedError) throw new GoneError(fileName, error);
    throw error;
  }
}

/** A file that a backup may need was deleted while the backup was made. */
class GoneError extends StorageError {
  constructor(fileName: string, cause: RefusedError) {
    super(`a file that it may need was deleted meanwhile: ${fileName}`, { cause });
  }
}

/** A sentence for the user. If the storage does not allow reading, this is not a failure, and --no-check avoids it. */
export function describeUnread({ location }: { readonly location: string }, error: Error): string {
  if (error instanceof GoneError) {
    return `the backup is stored in ${location}, but ${error.message}; the next backup stores again what is missing`;
  }
  const advice = error instanceof RefusedError ? '; --no-check skips this' : '';
  return `the backup is stored in ${location}, but it could not be read back: ${error.message}${advice}`;
}
