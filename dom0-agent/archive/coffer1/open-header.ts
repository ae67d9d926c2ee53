import { DamagedError } from '../../../shared/errors.ts';
import { HEADER_NAME, type UntrustedHeader } from '../untrusted-header.ts';
import { type Coffer1Header, formatHeader, parseHeader } from './coffer1-header.ts';
import type { ManifestMember } from './manifest.ts';
import { parseMac } from './member-reader.ts';
import { isMemberAuthentic } from './seal-member.ts';
import type { SeriesKey } from './series-key.ts';

/** Parses a header that is not authenticated yet. Throws DamagedError unless it is exactly as coffer writes it. */
export function parseUntrustedHeader({
  tar,
  untrustedBytes,
  untrustedFields,
}: UntrustedHeader): Coffer1Header {
  tar.requireCanonical();
  const header = parseHeader(untrustedFields);
  if (formatHeader(header).equals(untrustedBytes)) return header;
  throw new DamagedError('the header of the backup is not as coffer writes it');
}

/** Authenticates a header, and returns it as the manifest lists it. Throws DamagedError. */
export async function authenticateHeader(
  { untrustedBytes, untrustedMac }: Pick<UntrustedHeader, 'untrustedBytes' | 'untrustedMac'>,
  { backupId, encrypted }: Pick<Coffer1Header, 'backupId' | 'encrypted'>,
  root: SeriesKey,
): Promise<ManifestMember> {
  const mac = parseMac(untrustedMac);
  if (mac === undefined) {
    throw new DamagedError(
      "the backup's header is damaged: its authentication code has no valid form",
    );
  }
  const key = { root, backupId, encrypted };
  if (!(await isMemberAuthentic(key, HEADER_NAME, untrustedBytes, mac))) {
    throw new DamagedError("the backup's header was damaged or tampered with");
  }
  return { name: HEADER_NAME, size: untrustedBytes.length, mac };
}
