import { createHmac } from 'node:crypto';

/** What one block gives, in bytes. */
const BLOCK = 64;

/**
 * HKDF-Expand-SHA512 (RFC 5869, section 2.3) of `key` for a purpose, for at most 64 bytes. So there is one block: the HMAC
 * of the purpose and a 1.
 */
export function expandKey(key: Uint8Array, purpose: string, length: number): Uint8Array {
  if (length > BLOCK) throw new RangeError(`${length} bytes are more than a block`);
  return createHmac('sha512', key).update(`${purpose}\u0001`).digest().subarray(0, length);
}
