import type { ByteSource } from '../../shared/byte-streams.ts';
import { DamagedError } from '../../shared/errors.ts';
import { KiB } from '../../shared/sizes.ts';
import { LARGEST_MAC } from './official/part-reader.ts';
import type { OuterMember } from './tar/outer-member.ts';
import type { OuterTarReader } from './tar/outer-reader.ts';
import {
  HEADER_NAME,
  LARGEST_HEADER,
  type UntrustedHeader,
  parseHeaderText,
} from './untrusted-header.ts';

/** More bytes than any header with its authentication code and the tar header that follows. */
const HEAD = 32 * KiB;

/** The beginning of a file, so that no more is requested to read its header. */
export function headOf(file: ByteSource & { readonly size: number }): ByteSource {
  const size = Math.min(file.size, HEAD);
  return { size, seekable: true, read: (from, to = size) => file.read(from, Math.min(to, size)) };
}

/** Reads the header of an archive, which is the member `first`, and its authentication code. Throws DamagedError. */
export async function readHeader(
  tar: OuterTarReader,
  first: OuterMember,
): Promise<UntrustedHeader> {
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
