import { Readable } from 'node:stream';
import { WrongPassphraseError } from '../../../shared/errors.ts';
import { QUBES_XML } from '../archive.ts';
import type { Beginning } from '../untrusted-header.ts';
import {
  HEADERLESS_CIPHER,
  HEADERLESS_MAC,
  type Qubes3Header,
  parseQubes3Header,
} from './qubes3-header.ts';
import { MAC_ALGORITHMS, canAuthenticate } from './mac.ts';
import { type MacedPart, macHolds } from './maced-parts.ts';
import { decipher, isOpensslEnc } from './openssl-enc.ts';
import { isZipped } from './unzip.ts';

/**
 * The header of an archive of format 3 or 2, once its MAC holds. Throws WrongPassphraseError,
 * DamagedError, or FailedError for algorithms that cannot be used here.
 */
export function verifiedHeader(
  { untrustedHeader, untrustedHeaderMac, untrustedFields }: Beginning,
  passphrase: Buffer,
  forcedFilter: string | undefined,
): Qubes3Header {
  const part = {
    untrustedBytes: untrustedHeader,
    untrustedMacText: untrustedHeaderMac.toString('latin1'),
  };
  const named = untrustedFields.get('hmac-algorithm')?.toLowerCase() ?? '';
  if (macAlgorithmOf(part, named, passphrase) === undefined) {
    throw new WrongPassphraseError(
      "the passphrase is wrong, or the backup's header was damaged or tampered with",
    );
  }
  return parseQubes3Header(untrustedFields, forcedFilter);
}

/**
 * The oldest archives of format 2 have no header. What it would say is told by the first part of
 * qubes.xml, once its MAC holds. Throws WrongPassphraseError or DamagedError.
 */
export async function headerFromContent(
  firstPart: MacedPart,
  passphrase: Buffer,
  forcedFilter: string | undefined,
): Promise<Qubes3Header> {
  const macAlgorithm = macAlgorithmOf(firstPart, HEADERLESS_MAC, passphrase);
  if (macAlgorithm === undefined) {
    throw new WrongPassphraseError(
      'the passphrase is wrong, or qubes.xml in the backup is damaged',
    );
  }
  const bytes = firstPart.untrustedBytes;
  const encrypted = isOpensslEnc(bytes);
  const content = encrypted ? await beginningOf(decrypted(bytes, passphrase)) : bytes;
  return {
    format: 'qubes-2',
    backupId: undefined,
    encrypted,
    compressionFilter: forcedFilter ?? (isZipped(content) ? 'gzip' : undefined),
    macAlgorithm,
    cipher: encrypted ? HEADERLESS_CIPHER : undefined,
  };
}

/** The algorithm with which the MAC holds: `likeliest`, or any other. The official reader does so. */
function macAlgorithmOf(
  part: MacedPart,
  likeliest: string,
  passphrase: Buffer,
): string | undefined {
  return [likeliest, ...MAC_ALGORITHMS]
    .filter(canAuthenticate)
    .find((algorithm) => macHolds(algorithm, passphrase, part));
}

function decrypted(bytes: Buffer, passphrase: Buffer): AsyncIterable<Buffer> {
  return decipher(HEADERLESS_CIPHER, passphrase, Readable.from([bytes]), QUBES_XML);
}

async function beginningOf(source: AsyncIterable<Buffer>): Promise<Buffer> {
  for await (const piece of source) if (piece.length > 0) return piece;
  return Buffer.alloc(0);
}
