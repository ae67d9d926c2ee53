import type { ByteSource } from '../../../shared/byte-streams.ts';
import { DamagedError, WrongPassphraseError } from '../../../shared/errors.ts';
import type { ArchiveReader } from '../archive.ts';
import { type ListedMember, Manifest } from '../parts/manifest.ts';
import { StreamingReader } from '../parts/streaming-reader.ts';
import { HEADER_NAME, type UntrustedHeader } from '../untrusted-header.ts';
import { refuseFollowed } from './archive-end.ts';
import { Coffer1Format, MANIFEST, parseMac } from './coffer1-format.ts';
import { formatHeader, parseHeader } from './coffer1-header.ts';
import { deriveRootKey } from './keys.ts';
import { type ArchiveKey, isMemberAuthentic } from './seal-member.ts';
import { SeekingReader } from './seeking-reader.ts';

/**
 * Opens a coffer-1 archive: authenticates the header with the passphrase and, if the input is seekable, the
 * manifest at its end. Throws WrongPassphraseError or DamagedError.
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
  const root = await deriveRootKey(passphrase, header.kdfSalt, header.kdf);
  const key: ArchiveKey = { root, backupId: header.backupId, encrypted: header.encrypted };
  const listedHeader = await authenticateHeader(first, key);
  const archive = { header, format: new Coffer1Format(header, key, signal), signal };
  if (input.seekable && input.size !== undefined) {
    // The padding of the header's MAC is checked together with the next member.
    await tar.next();
    await tar[Symbol.asyncDispose]();
    return SeekingReader.open(input, input.size, archive, listedHeader);
  }
  const manifest = new Manifest(MANIFEST);
  manifest.add(listedHeader);
  const checkEnd = async (): Promise<void> => refuseFollowed(await tar.behindEnd());
  return new StreamingReader({ ...archive, manifest }, tar, checkEnd);
}

/** Returns the header as the manifest lists it. */
async function authenticateHeader(first: UntrustedHeader, key: ArchiveKey): Promise<ListedMember> {
  const { untrustedBytes } = first;
  const mac = parseMac(first.untrustedMac);
  if (mac === undefined) {
    throw new DamagedError(
      "the backup's header is damaged: its authentication code has no valid form",
    );
  }
  if (!(await isMemberAuthentic(key, HEADER_NAME, untrustedBytes, mac))) {
    throw new WrongPassphraseError(
      "the passphrase is wrong, or the backup's header was damaged or tampered with",
    );
  }
  return { name: HEADER_NAME, size: untrustedBytes.length, mac };
}
