import { createCipheriv, createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { DamagedPartError } from '../parts/damaged-part-error.ts';
import { GiB, MiB } from '../../../shared/sizes.ts';

/**
 * The file format of the scrypt utility (its source's FORMAT, docs/official-formats.md):
 *
 *     0  `scrypt`   6  version 0   7  log2 N   8  r   12  p   16  salt (32)
 *     48  SHA-256 of 0–47, first 16 bytes      64  HMAC-SHA256 of 0–63      96  AES-256-CTR ciphertext
 *     …  HMAC-SHA256 of all before it
 */
export const SCRYPT_HEADER = 96;
const TAIL = 32;

/** Official dom0s write up to N = 2^21, r = 8, p = 1: 2 GiB, some ten seconds. */
const MOST_MEMORY = 2 * GiB;
/** N·r·p, which time goes by: four times as long as that. */
const MOST_WORK = 2 ** 26;
/** r·p, which takes memory as well, 128 bytes for each: 32 MiB. The scrypt utility has r = 8. */
const MOST_LANES = 2 ** 18;
/** Hashed or decrypted at a time, so that other work gets its turn. */
const SLICE = 1 * MiB;

/** What a key is derived from, besides the passphrase. The costs are bounded, the salt is not secret. */
export interface ScryptParameters {
  readonly n: number;
  readonly r: number;
  readonly p: number;
  readonly salt: Buffer;
}

/** The keys of one file: AES-256, and HMAC-SHA256. */
export interface ScryptKeys {
  readonly cipher: Buffer;
  readonly mac: Buffer;
}

/** Bytes of memory that a derivation takes, within 32 MiB. */
export function memoryFor({ n, r }: ScryptParameters): number {
  return 128 * n * r;
}

/**
 * Reads the parameters from the first bytes of a file. They are hostile, and stand before any MAC:
 * what would cost more than the official tools ever ask for is refused here, before it costs
 * anything. `name` is for the message. Throws DamagedError.
 */
export function parseScryptHeader(untrustedHeader: Buffer, name: string): ScryptParameters {
  const sum = createHash('sha256').update(untrustedHeader.subarray(0, 48)).digest();
  if (
    untrustedHeader.length < SCRYPT_HEADER ||
    untrustedHeader.toString('latin1', 0, 7) !== 'scrypt\0' ||
    !sum.subarray(0, 16).equals(untrustedHeader.subarray(48, 64))
  ) {
    throw new DamagedPartError(name, 'is damaged: it is not an encrypted file');
  }
  const n = 2 ** untrustedHeader.readUInt8(7);
  const r = untrustedHeader.readUInt32BE(8);
  const p = untrustedHeader.readUInt32BE(12);
  const isInBounds =
    n >= 2 && r >= 1 && p >= 1 && r * p <= MOST_LANES && 128 * n * r <= MOST_MEMORY;
  if (!isInBounds || n * r * p > MOST_WORK) {
    throw new DamagedPartError(
      name,
      'asks for a key derivation that no backup needs: it is damaged or an attack',
    );
  }
  return { n, r, p, salt: Buffer.from(untrustedHeader.subarray(16, 48)) };
}

/** Splits the 64 bytes that scrypt derives from passphrase and salt. */
export function scryptKeys(derived: Buffer): ScryptKeys {
  return { cipher: derived.subarray(0, 32), mac: derived.subarray(32) };
}

/** Whether the header's MAC holds: it tells a wrong passphrase from damage further on. */
export function scryptHeaderHolds(untrustedFile: Buffer, keys: ScryptKeys): boolean {
  const mac = createHmac('sha256', keys.mac).update(untrustedFile.subarray(0, 64)).digest();
  return timingSafeEqual(mac, untrustedFile.subarray(64, SCRYPT_HEADER));
}

/**
 * Checks the MAC over the whole file, then decrypts it, a slice at a time. Throws DamagedError, which
 * names the file by `name`, before it gives a byte.
 */
export async function* openScryptFile(
  untrustedFile: Buffer,
  keys: ScryptKeys,
  name: string,
): AsyncGenerator<Buffer, void, undefined> {
  // In a file of 96 bytes the header's MAC would pass for the one at the end.
  if (untrustedFile.length < SCRYPT_HEADER + TAIL) {
    throw new DamagedPartError(name, 'is damaged: it is too short');
  }
  const end = untrustedFile.length - TAIL;
  const hmac = createHmac('sha256', keys.mac);
  for (let from = 0; from < end; from += SLICE) {
    hmac.update(untrustedFile.subarray(from, Math.min(from + SLICE, end)));
    await setImmediate();
  }
  if (!timingSafeEqual(hmac.digest(), untrustedFile.subarray(end))) {
    throw new DamagedPartError(name, 'was damaged or tampered with: its MAC does not hold');
  }
  const file = untrustedFile;
  // Counter mode: encrypting is decrypting.
  const cipher = createCipheriv('aes-256-ctr', keys.cipher, Buffer.alloc(16));
  for (let from = SCRYPT_HEADER; from < end; from += SLICE) {
    yield cipher.update(file.subarray(from, Math.min(from + SLICE, end)));
  }
}
