import type { ByteSource } from '../../shared/byte-streams.ts';
import { DamagedError, RefusedError } from '../../shared/errors.ts';
import { printable } from '../../shared/printable.ts';
import { KiB } from '../../shared/sizes.ts';
import type { ArchiveReader } from './archive.ts';
import { QUBES_XML } from './archive.ts';
import type { Beginning } from './untrusted-header.ts';
import { openCoffer1 } from './coffer1/open-coffer1.ts';
import { HEADER_NAME, LARGEST_HEADER, parseHeaderText } from './header-text.ts';
import { type OuterMember, OuterTarReader } from './tar/outer-reader.ts';
import { partName } from './parts/part-names.ts';
import { openHeaderless, openQubes3 } from './qubes3/qubes3-reader.ts';
import { openQubes4 } from './qubes4/qubes4-reader.ts';

/** The limit of the official reader for a member `.hmac`. */
const LARGEST_MAC = 4 * KiB;

/**
 * Opens an archive of any format, told by its header, and verifies the header under the passphrase.
 * That of coffer-1 is wiped then; for the other formats it must stay until the archive is read.
 * Throws WrongPassphraseError or DamagedError.
 *
 * @param forcedFilter the compression filter to take instead of the one that an official archive names
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
    if (first?.name === partName(QUBES_XML, 0)) {
      return await openHeaderless(tar, first, passphrase, signal, forcedFilter);
    }
    if (first?.name !== HEADER_NAME) {
      throw new DamagedError('this is not a backup: it does not begin with a header');
    }
    const beginning = await readBeginning(tar, first);
    return await openByHeader(input, beginning, passphrase, signal, forcedFilter);
  } catch (error) {
    await tar[Symbol.asyncDispose]();
    throw error;
  }
}

async function openByHeader(
  input: ByteSource,
  beginning: Beginning,
  passphrase: Buffer,
  signal: AbortSignal,
  forcedFilter: string | undefined,
): Promise<ArchiveReader> {
  if (beginning.untrustedFields.get('format') === 'coffer-1') {
    if (forcedFilter !== undefined) {
      throw new RefusedError(
        'a backup in the format coffer-1 tells how it was compressed: -Z is for backups of the official tools',
      );
    }
    return openCoffer1(input, beginning, passphrase, signal);
  }
  const version = beginning.untrustedFields.get('version');
  if (version === '4') return openQubes4(beginning, passphrase, signal, forcedFilter);
  if (version === '3' || version === '2')
    return openQubes3(beginning, passphrase, signal, forcedFilter);
  const untrustedName = version ?? beginning.untrustedFields.get('format') ?? 'without a name';
  throw new DamagedError(
    `the backup has the format ${printable(untrustedName, 40)}, which coffer does not read: it reads coffer-1, and ` +
      `the formats 2, 3 and 4 of Qubes' own tools`,
  );
}

async function readBeginning(tar: OuterTarReader, header: OuterMember): Promise<Beginning> {
  const untrustedHeader = await header.bytes(LARGEST_HEADER);
  const mac = await tar.next();
  if (mac?.name !== `${HEADER_NAME}.hmac`) {
    throw new DamagedError('the backup is damaged: no authentication code follows its header');
  }
  return {
    tar,
    untrustedHeader,
    untrustedFields: parseHeaderText(untrustedHeader),
    untrustedHeaderMac: await mac.bytes(LARGEST_MAC),
  };
}
