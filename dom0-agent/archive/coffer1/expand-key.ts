import { createHmac } from 'node:crypto';

/** The length of a block in bytes: that of SHA-512. */
const BLOCK = 64;

/**
 * HKDF-Expand-SHA512 (RFC 5869, section 2.3) of `key`, with `purpose` as the info, for at most 64 bytes. That is a
 * single block: the HMAC of the purpose and a byte 1.
 */
export function expandKey(key: Uint8Array, purpose: string, length: number): Uint8Array {
  if (length > BLOCK) throw new RangeError(`${length} bytes are more than a block`);
  return createHmac('sha512', key).update(`${purpose}\u0001`).digest().subarray(0, length);
}
