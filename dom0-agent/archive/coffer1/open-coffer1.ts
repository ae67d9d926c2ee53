import type { ByteSource } from '../../../shared/byte-streams.ts';
import { DamagedError, WrongPassphraseError } from '../../../shared/errors.ts';
import type { ArchiveReader } from '../archive.ts';
import type { Beginning } from '../untrusted-header.ts';
import { HEADER_NAME } from '../header-text.ts';
import { formatHeader, parseHeader } from './coffer1-header.ts';
import type { Opened } from './inner-tar-of.ts';
import { deriveRootKey } from './keys.ts';
import type { ManifestMember } from './manifest.ts';
import { MAC_LENGTH, type Seal, memberHolds } from './seal-member.ts';
import { SeekingReader } from './seeking-reader.ts';
import { StreamingReader } from './streaming-reader.ts';

/**
 * Opens a coffer-1 archive: checks the header under the passphrase and, where the input can seek, the
 * manifest at its end. Throws WrongPassphraseError or DamagedError.
 */
export async function openCoffer1(
  input: ByteSource,
  beginning: Beginning,
  passphrase: Buffer,
  signal: AbortSignal,
): Promise<ArchiveReader> {
  beginning.tar.requireCanonical();
  const header = parseHeader(beginning.untrustedFields);
  if (!formatHeader(header).equals(beginning.untrustedHeader)) {
    throw new DamagedError('the header of the backup is not as coffer writes it');
  }
  const root = await deriveRootKey(passphrase, header.kdfSalt, header.kdf);
  const seal: Seal = { root, backupId: header.backupId, encrypted: header.encrypted };
  const headerMember = await checkHeader(seal, beginning);
  const opened: Opened = { header, seal, signal };
  if (input.seekable && input.size !== undefined) {
    // What fills the last block of the header's MAC is checked with the member behind it.
    await beginning.tar.next();
    await beginning.tar[Symbol.asyncDispose]();
    return SeekingReader.open(input, input.size, opened, headerMember);
  }
  return new StreamingReader(beginning.tar, opened, headerMember);
}

async function checkHeader(seal: Seal, beginning: Beginning): Promise<ManifestMember> {
  const untrustedText = beginning.untrustedHeaderMac.toString('latin1');
  if (!/^[0-9a-f]{128}\n$/.test(untrustedText)) {
    throw new DamagedError(
      "the backup's header is damaged: its authentication code has no sound form",
    );
  }
  const mac = untrustedText.slice(0, MAC_LENGTH);
  if (!(await memberHolds(seal, HEADER_NAME, beginning.untrustedHeader, mac))) {
    throw new WrongPassphraseError(
      "the passphrase is wrong, or the backup's header was damaged or tampered with",
    );
  }
  return { name: HEADER_NAME, size: beginning.untrustedHeader.length, mac };
}
