import type { ByteSource } from '../../shared/byte-streams.ts';
import { DamagedError, RefusedError } from '../../shared/errors.ts';
import { printable } from '../../shared/printable.ts';
import type { ArchiveReader } from './archive.ts';
import { QUBES_XML } from './archive.ts';
import { untrustedFormatOf } from './identify-archive.ts';
import { openCoffer1 } from './coffer1/open-coffer1.ts';
import { OuterTarReader } from './tar/outer-reader.ts';
import { partName } from './parts/part-name.ts';
import { openHeaderless, openQubes3 } from './qubes3/qubes3-reader.ts';
import { openQubes4 } from './qubes4/qubes4-reader.ts';
import type { Siblings } from './coffer1/series-files.ts';
import { SeriesKeys } from './coffer1/series-keys.ts';
import { readHeader } from './read-header.ts';
import { HEADER_NAME, type UntrustedHeader } from './untrusted-header.ts';

/** How an archive is opened. */
export interface OpenOptions {
  /** The compression filter to use instead of the one that an official archive names. */
  readonly forcedFilter?: string | undefined;
  /** The directory that the file is in, for a backup that needs others of its series. */
  readonly siblings?: Siblings | undefined;
  /** Series that were opened before: one key derivation is enough for each. */
  readonly keys?: SeriesKeys;
}

/**
 * Opens an archive of any format, recognised by its header, and authenticates the header with the passphrase.
 * For coffer-1 the passphrase is then wiped; the other formats need it until the archive has been read.
 * Throws WrongPassphraseError or DamagedError.
 */
export async function openArchive(
  input: ByteSource,
  passphrase: Buffer,
  signal: AbortSignal,
  { forcedFilter, siblings, keys = new SeriesKeys() }: OpenOptions = {},
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
    return await openByHeader(input, header, passphrase, signal, { forcedFilter, siblings, keys });
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
  { forcedFilter, siblings, keys }: Required<OpenOptions>,
): Promise<ArchiveReader> {
  const untrustedFormat = untrustedFormatOf(header.untrustedFields);
  if (untrustedFormat === 'coffer-1') {
    if (forcedFilter !== undefined) {
      throw new RefusedError(
        'a backup in the format coffer-1 says how it was compressed: -Z is for backups of the official tools',
      );
    }
    return openCoffer1(input, header, passphrase, signal, siblings, keys);
  }
  if (untrustedFormat === 'qubes-4') return openQubes4(header, passphrase, signal, forcedFilter);
  if (untrustedFormat === 'qubes-3' || untrustedFormat === 'qubes-2')
    return openQubes3(header, passphrase, signal, forcedFilter);
  throw new DamagedError(
    `the backup has the format ${printable(untrustedFormat, 40)}, which coffer does not read: it reads coffer-1, and ` +
      `the formats 2, 3 and 4 of Qubes' own tools`,
  );
}
