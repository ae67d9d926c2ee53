import { createHmac, getHashes, timingSafeEqual } from 'node:crypto';
import { blake2b, blake2s } from '@noble/hashes/blake2.js';
import { hmac } from '@noble/hashes/hmac.js';
import { md5, ripemd160, sha1 } from '@noble/hashes/legacy.js';
import { sha224, sha256, sha384, sha512, sha512_224, sha512_256 } from '@noble/hashes/sha2.js';
import { sha3_224, sha3_256, sha3_384, sha3_512 } from '@noble/hashes/sha3.js';

/** The algorithms that `@noble/hashes` offers where Node's OpenSSL does not, by OpenSSL's names. */
const NOBLE_HASHES = {
  sha512,
  sha1,
  sha256,
  sha384,
  sha224,
  md5,
  ripemd160,
  rmd160: ripemd160,
  'sha512-256': sha512_256,
  'sha512-224': sha512_224,
  'sha3-224': sha3_224,
  'sha3-256': sha3_256,
  'sha3-384': sha3_384,
  'sha3-512': sha3_512,
  blake2b512: blake2b,
  blake2s256: blake2s,
};
type NobleName = keyof typeof NOBLE_HASHES;

/** The algorithms that an archive's header may be authenticated with, the likeliest first. */
export const MAC_ALGORITHMS: readonly string[] = [...Object.keys(NOBLE_HASHES), 'md5-sha1', 'sm3'];

/** Whether coffer can compute an HMAC with this algorithm, named as OpenSSL does, in lower case. */
export function canAuthenticate(algorithm: string): boolean {
  return offeredByNode(algorithm) || isNobleName(algorithm);
}

/**
 * HMAC of `message`, as `openssl dgst -<algorithm> -hmac <passphrase>` computes it: the passphrase is the
 * key. Throws RangeError for an algorithm that `canAuthenticate` rejects.
 */
export function computeMac(algorithm: string, passphrase: Buffer, message: Buffer): Buffer {
  if (offeredByNode(algorithm)) {
    return createHmac(algorithm, passphrase).update(message).digest();
  }
  return computeMacWithNoble(algorithm, passphrase, message);
}

/** The same without OpenSSL. */
export function computeMacWithNoble(
  algorithm: string,
  passphrase: Buffer,
  message: Buffer,
): Buffer {
  if (!isNobleName(algorithm))
    throw new RangeError(`there is no implementation of the algorithm ${algorithm}`);
  return Buffer.from(hmac(NOBLE_HASHES[algorithm], passphrase, message));
}

/**
 * Parses openssl's output for its standard input: `(stdin)= <hex>`, `HMAC-SHA512(stdin)= <hex>` or
 * `SHA2-512(stdin)= <hex>`. Undefined for anything else.
 */
export function parseMacText(untrustedText: string): Buffer | undefined {
  const match = /^[A-Za-z0-9/-]*\(stdin\)= ([0-9a-f]{2,256})\r?\n?$/.exec(untrustedText);
  return match?.[1] === undefined ? undefined : Buffer.from(match[1], 'hex');
}

/** Whether a part, or the header, is authentic. With a malformed MAC it is not. */
export function isAuthentic(
  algorithm: string,
  passphrase: Buffer,
  untrustedBytes: Buffer,
  untrustedMacText: string,
): boolean {
  const untrustedMac = parseMacText(untrustedMacText);
  if (untrustedMac === undefined) return false;
  const mac = computeMac(algorithm, passphrase, untrustedBytes);
  return mac.length === untrustedMac.length && timingSafeEqual(mac, untrustedMac);
}

function offeredByNode(algorithm: string): boolean {
  return getHashes().includes(algorithm) && !algorithm.startsWith('shake');
}

function isNobleName(algorithm: string): algorithm is NobleName {
  return Object.hasOwn(NOBLE_HASHES, algorithm);
}
