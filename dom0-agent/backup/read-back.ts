import { createHash } from 'node:crypto';
import type { OpenedFile } from '../../shared/byte-streams.ts';
import { DamagedError, messageOf } from '../../shared/errors.ts';
import { authenticateFile } from '../archive/coffer1/authenticate-file.ts';
import type { NamedFile } from '../archive/coffer1/manifest.ts';
import type { SeriesKey } from '../archive/coffer1/series-key.ts';
import { openSeriesFile } from '../archive/coffer1/open-series-file.ts';
import { isRefusal } from '../transport/storage-errors.ts';
import type { StoredArchive, StoredFiles } from '../transport/storage.ts';

/** A file that was just stored. */
export interface NewFile {
  readonly fileName: string;
  readonly stored: Pick<StoredArchive, 'location' | 'bytes' | 'sha256'>;
  /** What it must be, in coffer-1; undefined: another format, whose SHA-256 is compared instead. */
  readonly written: { readonly key: SeriesKey; readonly name: NamedFile } | undefined;
}

/**
 * Reads back a file that was just stored, and authenticates everything in it, but nothing that it refers to. Needs
 * memory for a few parts. Throws DamagedError if the storage returns something else, and what reading the storage
 * throws.
 *
 * @param progress called with the number of bytes that were read
 */
export async function readBack(
  files: StoredFiles,
  { fileName, stored, written }: NewFile,
  progress: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  try {
    const input = await openNew(files, fileName);
    if (input.size !== stored.bytes) {
      throw new DamagedError(`it has ${input.size} bytes instead of ${stored.bytes}`);
    }
    if (written === undefined) {
      await compareDigest(input, stored.sha256, progress);
      return;
    }
    const file = await openSeriesFile(input, written.key, signal);
    if (file.backupId !== written.name.backupId || file.manifestMac !== written.name.mac) {
      throw new DamagedError('it is another backup');
    }
    await authenticateFile(file, files, progress);
  } catch (error) {
    if (!(error instanceof DamagedError)) throw error;
    throw new DamagedError(
      `the storage returns something other than what was stored in ${stored.location}: ${messageOf(error)}. ` +
        'Do not rely on this backup or on this storage: no later backup will refer to the file',
      { cause: error },
    );
  }
}

async function openNew(files: StoredFiles, fileName: string): Promise<OpenedFile> {
  try {
    return await files.open(fileName);
  } catch (error) {
    if (isRefusal(error, 'NOT_FOUND')) throw new DamagedError('there is no such file');
    throw error;
  }
}

async function compareDigest(
  input: OpenedFile,
  sha256: string,
  progress: (bytes: number) => void,
): Promise<void> {
  const hash = createHash('sha256');
  for await (const bytes of input.read()) {
    hash.update(bytes);
    progress(bytes.length);
  }
  if (hash.digest('hex') !== sha256) throw new DamagedError('its SHA-256 is different');
}
