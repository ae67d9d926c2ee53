import type { ByteSource } from '../../../shared/byte-streams.ts';
import { DamagedError, RefusedError } from '../../../shared/errors.ts';
import type { ArchiveReader } from '../archive.ts';
import { parseMac } from './member-reader.ts';
import { type ArchiveKey, isMemberAuthentic } from './seal-member.ts';
import { HEADER_NAME, type UntrustedHeader } from '../untrusted-header.ts';
import { formatHeader, parseHeader } from './coffer1-header.ts';
import type { ManifestMember } from './manifest.ts';
import type { Opened } from './open-parts.ts';
import { SeekingReader } from './seeking-reader.ts';
import { openSeries } from './series.ts';
import { StreamingReader } from './streaming-reader.ts';

/**
 * Opens a coffer-1 backup: unwraps the key of its series with the passphrase, checks the header and, where the input
 * can seek, the manifest at its end. Throws WrongPassphraseError or DamagedError.
 */
export async function openCoffer1(
  input: ByteSource,
  first: UntrustedHeader,
  passphrase: Buffer,
  signal: AbortSignal,
): Promise<ArchiveReader> {
  const { tar } = first;
  tar.requireCanonical();
  const header = parseHeader(first.untrustedFields);
  if (!formatHeader(header).equals(first.untrustedBytes)) {
    throw new DamagedError('the header of the backup is not as coffer writes it');
  }
  const { key: root } = await openSeries(header, passphrase);
  const key: ArchiveKey = { root, backupId: header.backupId, encrypted: header.encrypted };
  const headerMember = await authenticateHeader(first, key);
  if (header.kind !== 'backup') {
    throw new RefusedError(`this file is no backup: ${WHAT_IT_IS[header.kind]}`);
  }
  const opened: Opened = { header, key, signal };
  if (input.seekable && input.size !== undefined) {
    // What fills the last block of the header's MAC is checked with the member behind it.
    await tar.next();
    await tar[Symbol.asyncDispose]();
    return SeekingReader.open(input, input.size, opened, headerMember);
  }
  if (!header.streamable) {
    throw new RefusedError(
      'this backup refers to itself or to others, so it can be read from files only: copy it into a directory first',
    );
  }
  return new StreamingReader(tar, opened, headerMember);
}

/** Files of a series that others need. */
const WHAT_IT_IS = {
  data: 'it holds data that backups of its series refer to',
  pack: 'it holds what backups of its series need of files that were deleted',
};

/** Gives the header as the manifest lists it. */
async function authenticateHeader(
  first: UntrustedHeader,
  key: ArchiveKey,
): Promise<ManifestMember> {
  const { untrustedBytes } = first;
  const mac = parseMac(first.untrustedMac);
  if (mac === undefined) {
    throw new DamagedError(
      "the backup's header is damaged: its authentication code has no valid form",
    );
  }
  if (!(await isMemberAuthentic(key, HEADER_NAME, untrustedBytes, mac))) {
    throw new DamagedError("the backup's header was damaged or tampered with");
  }
  return { name: HEADER_NAME, size: untrustedBytes.length, mac };
}
