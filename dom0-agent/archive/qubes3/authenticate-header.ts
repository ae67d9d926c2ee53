import { Readable } from 'node:stream';
import { WrongPassphraseError } from '../../../shared/errors.ts';
import { QUBES_XML } from '../archive.ts';
import type { UntrustedHeader } from '../untrusted-header.ts';
import { MAC_ALGORITHMS, canAuthenticate, isAuthentic } from './mac.ts';
import { decipher, isOpensslEnc } from './openssl-enc.ts';
import { type Qubes3Header, parseQubes3Header } from './qubes3-header.ts';
import { isZipped } from './unzip.ts';

/** The algorithms of archives that are too old to have a header. */
const HEADERLESS_MAC = 'sha1';
const HEADERLESS_CIPHER = 'aes-256-cbc';

/**
 * Authenticates and parses the header of an archive of format 3 or 2. Throws WrongPassphraseError,
 * DamagedError, or FailedError for algorithms that are not available here.
 */
export function authenticateHeader(
  { untrustedBytes, untrustedMac, untrustedFields }: UntrustedHeader,
  passphrase: Buffer,
  forcedFilter: string | undefined,
): Qubes3Header {
  const named = untrustedFields.get('hmac-algorithm')?.toLowerCase() ?? '';
  const untrustedMacText = untrustedMac.toString('latin1');
  if (macAlgorithmOf(untrustedBytes, untrustedMacText, named, passphrase) === undefined) {
    throw new WrongPassphraseError(
      "the passphrase is wrong, or the backup's header was damaged or tampered with",
    );
  }
  return parseQubes3Header(untrustedFields, forcedFilter);
}

/**
 * The oldest archives of format 2 have no header. It is inferred from the first part of qubes.xml, once that
 * is authenticated. Throws WrongPassphraseError or DamagedError.
 */
export async function headerFromQubesXml(
  untrustedBytes: Buffer,
  untrustedMacText: string,
  passphrase: Buffer,
  forcedFilter: string | undefined,
): Promise<Qubes3Header> {
  const macAlgorithm = macAlgorithmOf(untrustedBytes, untrustedMacText, HEADERLESS_MAC, passphrase);
  if (macAlgorithm === undefined) {
    throw new WrongPassphraseError(
      'the passphrase is wrong, or qubes.xml in the backup is damaged',
    );
  }
  const bytes = untrustedBytes;
  const encrypted = isOpensslEnc(bytes);
  const beginning = encrypted ? await decryptedBeginning(bytes, passphrase) : bytes;
  return {
    format: 'qubes-2',
    backupId: undefined,
    encrypted,
    compressionFilter: forcedFilter ?? (isZipped(beginning) ? 'gzip' : undefined),
    macAlgorithm,
    cipher: encrypted ? HEADERLESS_CIPHER : undefined,
  };
}

/** The algorithm of the MAC: `likeliest`, or any other. The official reader tries them, too. */
function macAlgorithmOf(
  untrustedBytes: Buffer,
  untrustedMacText: string,
  likeliest: string,
  passphrase: Buffer,
): string | undefined {
  return [likeliest, ...MAC_ALGORITHMS]
    .filter(canAuthenticate)
    .find((algorithm) => isAuthentic(algorithm, passphrase, untrustedBytes, untrustedMacText));
}

async function decryptedBeginning(bytes: Buffer, passphrase: Buffer): Promise<Buffer> {
  const source = Readable.from([bytes]);
  for await (const piece of decipher(HEADERLESS_CIPHER, passphrase, source, QUBES_XML)) {
    if (piece.length > 0) return piece;
  }
  return Buffer.alloc(0);
}
