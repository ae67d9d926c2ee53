import { CofferError, DamagedError, RefusedError } from '../../shared/errors.ts';
import { type NewFile, readBack } from '../backup/read-back.ts';
import type { Storage } from '../transport/storage.ts';
import type { Confirmation } from './progress.ts';
import type { BackupContext } from './propose-backup.ts';

/** What is known of a backup that was just stored. */
export type StoredCheck =
  | { readonly result: 'verified' | 'left out' }
  /** Something else came back; or nothing could be read back, and it may be whole. */
  | { readonly result: 'damaged' | 'not read'; readonly error: CofferError };

/** Reads back what was stored, unless the user does not want that, or a command has it, and shows how far that is. */
export async function checkStored(
  storage: Storage,
  file: NewFile,
  { request: { flags }, report, signal }: BackupContext,
): Promise<StoredCheck> {
  if (flags.command === true || !flags.check) return { result: 'left out' };
  const { location, bytes } = file.stored;
  const standing = (): Confirmation => ({ archiveBytes: bytes, dataBytes: report.read });
  report.startProgress('check', [{ name: location, total: bytes }], standing);
  try {
    await readBack(storage, file, (more) => report.progress(location, more), signal);
    // What is no part of a volume was read, too.
    report.progress(location, bytes - report.read);
    return { result: 'verified' };
  } catch (error) {
    if (!(error instanceof CofferError)) throw error;
    return { result: error instanceof DamagedError ? 'damaged' : 'not read', error };
  } finally {
    report.endProgress();
  }
}

/** For people: that it was not checked is no fault where the storage is only written to. */
export function describeUnread({ location }: { readonly location: string }, error: Error): string {
  const advice = error instanceof RefusedError ? '; --no-check does without' : '';
  return `the backup is stored in ${location}, but it could not be read back: ${error.message}${advice}`;
}
