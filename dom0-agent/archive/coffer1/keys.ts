import { scrypt as scryptCallback } from 'node:crypto';
import { promisify } from 'node:util';
import type { ScryptCost } from '../scrypt-cost.ts';
import { expandKey } from './expand-key.ts';

const scrypt = promisify<Buffer, Buffer, number, object, Buffer>(scryptCallback);

/** 64 bytes from which other keys are derived: the key of a passphrase, or a series key. */
export type RootKey = Uint8Array;

/**
 * The key of a passphrase, with which a series key is wrapped: scrypt(passphrase, salt, N, r, p, 64), on another
 * thread. Wipes the passphrase afterwards.
 */
export async function deriveRootKey(
  passphrase: Buffer,
  salt: Buffer,
  { n, r, p }: ScryptCost,
): Promise<RootKey> {
  try {
    return await scrypt(passphrase, salt, 64, { N: n, r, p, maxmem: 256 * n * r });
  } finally {
    passphrase.fill(0);
  }
}

/** The keys of one member; `mac` is for HMAC-SHA512, `enc` for AES-256-CTR from `counter` on. */
export interface MemberKeys {
  readonly mac: Uint8Array;
  readonly enc: Uint8Array;
  /** The first counter block, 16 bytes, counting up as a 128-bit big-endian number. */
  readonly counter: Uint8Array;
}

/**
 * The keys of a member: HKDF-Expand-SHA512 (RFC 5869) of the series key, `root`, with an info that names purpose,
 * backup and member, so that no member can replace another.
 */
export function memberKeys(root: RootKey, backupId: string, memberName: string): MemberKeys {
  const expandFor = (purpose: string, length: number): Uint8Array =>
    expandKey(root, `coffer-1 ${purpose} ${backupId} ${memberName}`, length);
  const enc = expandFor('enc', 48);
  return { mac: expandFor('mac', 64), enc: enc.subarray(0, 32), counter: enc.subarray(32) };
}
