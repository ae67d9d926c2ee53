import type { ByteSource, OpenedFile } from '../../../shared/byte-streams.ts';
import { RefusedError } from '../../../shared/errors.ts';
import type { ArchiveReader } from '../archive.ts';
import type { UntrustedHeader } from '../untrusted-header.ts';
import { authenticateHeader, parseUntrustedHeader } from './open-header.ts';
import type { Opened } from './open-parts.ts';
import { SeekingReader } from './seeking-reader.ts';
import { SeriesFile } from './series-file.ts';
import { SeriesFiles, type Siblings } from './series-files.ts';
import type { SeriesKeys } from './series-keys.ts';
import { StreamingReader } from './streaming-reader.ts';

/**
 * Opens a coffer-1 backup: unwraps the key of its series with the passphrase, authenticates the header and, if the
 * input is seekable, the manifest at its end. Throws WrongPassphraseError, DamagedError, or RefusedError for a file of
 * another kind.
 *
 * @param siblings where other files of the series are looked for, if they are needed
 */
export async function openCoffer1(
  input: ByteSource,
  first: UntrustedHeader,
  passphrase: Buffer,
  signal: AbortSignal,
  siblings: Siblings | undefined,
  keys: SeriesKeys,
): Promise<ArchiveReader> {
  const { tar } = first;
  const header = parseUntrustedHeader(first);
  const seriesKey = await keys.open(header, passphrase);
  const { backupId, encrypted } = header;
  const headerMember = await authenticateHeader(first, header, seriesKey);
  if (header.kind !== 'backup') {
    throw new RefusedError(`this file is not a backup: ${WHAT_IT_IS[header.kind]}`);
  }
  const opened: Opened = { header, key: { root: seriesKey, backupId, encrypted }, signal };
  if (isFile(input)) {
    // Reading the next member checks the padding after the header's MAC.
    await tar.next();
    await tar[Symbol.asyncDispose]();
    const file = await SeriesFile.open(input, opened, headerMember);
    return new SeekingReader(file, new SeriesFiles(file, siblings));
  }
  if (!header.streamable) {
    throw new RefusedError(
      'this backup refers to itself or to others, so it can be read from files only: copy it into a directory first',
    );
  }
  return new StreamingReader(tar, opened, headerMember);
}

/** What the files are that are not backups themselves, for the error. */
const WHAT_IT_IS = {
  data: 'it holds data that backups of its series refer to',
  pack: 'it holds what backups of its series need of files that were deleted',
};

function isFile(input: ByteSource): input is OpenedFile {
  return input.seekable && input.size !== undefined;
}
