import type { ByteSource } from '../../shared/byte-streams.ts';
import { DamagedError, RefusedError } from '../../shared/errors.ts';
import { printable } from '../../shared/printable.ts';
import type { ArchiveReader } from './archive.ts';
import { QUBES_XML } from './archive.ts';
import { untrustedFormatOf } from './identify-archive.ts';
import { openCoffer1 } from './coffer1/open-coffer1.ts';
import type { OuterMember } from './tar/outer-member.ts';
import { OuterTarReader } from './tar/outer-reader.ts';
import { partName } from './parts/part-name.ts';
import { LARGEST_MAC } from './official/part-reader.ts';
import { openHeaderless, openQubes3 } from './qubes3/qubes3-reader.ts';
import { openQubes4 } from './qubes4/qubes4-reader.ts';
import {
  HEADER_NAME,
  LARGEST_HEADER,
  type UntrustedHeader,
  parseHeaderText,
} from './untrusted-header.ts';

/**
 * Opens an archive of any format, recognised by its header, and authenticates the header with the passphrase.
 * For coffer-1 the passphrase is then wiped; the other formats need it until the archive has been read.
 * Throws WrongPassphraseError or DamagedError.
 *
 * @param forcedFilter the compression filter to use instead of the one that an official archive names
 */
export async function openArchive(
  input: ByteSource,
  passphrase: Buffer,
  signal: AbortSignal,
  forcedFilter?: string,
): Promise<ArchiveReader> {
  const tar = new OuterTarReader(input);
  try {
    const first = await tar.next();
    if (first?.name === partName(QUBES_XML, 0).name) {
      return await openHeaderless(tar, first, passphrase, signal, forcedFilter);
    }
    if (first?.name !== HEADER_NAME) {
      throw new DamagedError('this is not a backup: it does not begin with a header');
    }
    const header = await readHeader(tar, first);
    return await openByHeader(input, header, passphrase, signal, forcedFilter);
  } catch (error) {
    await tar[Symbol.asyncDispose]();
    throw error;
  }
}

async function openByHeader(
  input: ByteSource,
  header: UntrustedHeader,
  passphrase: Buffer,
  signal: AbortSignal,
  forcedFilter: string | undefined,
): Promise<ArchiveReader> {
  const untrustedFormat = untrustedFormatOf(header.untrustedFields);
  if (untrustedFormat === 'coffer-1') {
    if (forcedFilter !== undefined) {
      throw new RefusedError(
        'a backup in the format coffer-1 says how it was compressed: -Z is for backups of the official tools',
      );
    }
    return openCoffer1(input, header, passphrase, signal);
  }
  if (untrustedFormat === 'qubes-4') return openQubes4(header, passphrase, signal, forcedFilter);
  if (untrustedFormat === 'qubes-3' || untrustedFormat === 'qubes-2')
    return openQubes3(header, passphrase, signal, forcedFilter);
  throw new DamagedError(
    `the backup has the format ${printable(untrustedFormat, 40)}, which coffer does not read: it reads coffer-1, and ` +
      `the formats 2, 3 and 4 of Qubes' own tools`,
  );
}

async function readHeader(tar: OuterTarReader, first: OuterMember): Promise<UntrustedHeader> {
  const untrustedBytes = await first.bytes(LARGEST_HEADER);
  const mac = await tar.next();
  if (mac?.name !== `${HEADER_NAME}.hmac`) {
    throw new DamagedError('the backup is damaged: no authentication code follows its header');
  }
  return {
    tar,
    untrustedBytes,
    untrustedFields: parseHeaderText(untrustedBytes),
    untrustedMac: await mac.bytes(LARGEST_MAC),
  };
}
