import type { ByteSource } from '../../shared/byte-streams.ts';
import { DamagedError } from '../../shared/errors.ts';
import { QUBES_XML } from './archive.ts';
import { partName } from './parts/part-name.ts';
import { OuterTarReader } from './tar/outer-reader.ts';
import { HEADER_NAME, LARGEST_HEADER, parseHeaderText } from './untrusted-header.ts';

/** What a file says of itself. Nothing of it is authenticated. */
export interface UntrustedIdentity {
  /** As `ArchiveFormat`, or another that coffer does not read: letters, digits and `-`. */
  readonly untrustedFormat: string;
  readonly untrustedBackupId: string | undefined;
  /** Which kind of file of a coffer-1 series it is. */
  readonly untrustedKind: string | undefined;
}

/**
 * Reads the header of a backup, without a passphrase; undefined for a file that is not one, or whose header is damaged.
 */
export async function identifyArchive(input: ByteSource): Promise<UntrustedIdentity | undefined> {
  await using tar = new OuterTarReader(input);
  try {
    const first = await tar.next();
    if (first?.name === partName(QUBES_XML, 0).name) {
      // Only the oldest archives of format 2 have no header.
      return {
        ...{ untrustedFormat: 'qubes-2', untrustedBackupId: undefined, untrustedKind: undefined },
      };
    }
    if (first?.name !== HEADER_NAME) return undefined;
    const untrustedFields = parseHeaderText(await first.bytes(LARGEST_HEADER));
    return {
      untrustedFormat: untrustedFormatOf(untrustedFields),
      untrustedBackupId: untrustedFields.get('backup-id'),
      untrustedKind: untrustedFields.get('kind'),
    };
  } catch (error) {
    if (error instanceof DamagedError) return undefined;
    throw error;
  }
}

/** The format that a header names. The official tools number theirs. */
export function untrustedFormatOf(untrustedFields: ReadonlyMap<string, string>): string {
  const format = untrustedFields.get('format');
  const version = untrustedFields.get('version');
  if (format === 'coffer-1' || version === undefined) return format ?? 'without a name';
  return `qubes-${version}`;
}
