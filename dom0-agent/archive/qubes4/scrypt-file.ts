import { createCipheriv, createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { noteBuffer } from '../../../shared/buffer-collection.ts';
import { DamagedError } from '../../../shared/errors.ts';
import { GiB, MiB } from '../../../shared/sizes.ts';

/**
 * The file format of the scrypt utility (its source's FORMAT, docs/official-formats.md):
 *
 *     0  `scrypt`   6  version 0   7  log2 N   8  r   12  p   16  salt (32)
 *     48  SHA-256 of 0–47, first 16 bytes      64  HMAC-SHA256 of 0–63      96  AES-256-CTR ciphertext
 *     …  HMAC-SHA256 of everything before it
 */
export const SCRYPT_HEADER = 96;
export const SCRYPT_MAC = 32;
/** How much longer such a file is than its content. */
export const SCRYPT_OVERHEAD = SCRYPT_HEADER + SCRYPT_MAC;

/** Official dom0s write up to N = 2^21, r = 8, p = 1: 2 GiB, about ten seconds. */
const MOST_MEMORY = 2 * GiB;
/** N·r·p, to which time is proportional: four times as much as that. */
const MOST_WORK = 2 ** 26;
/** r·p, each of which takes 128 bytes of memory as well: 32 MiB. The scrypt utility has r = 8. */
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

/** Bytes of memory that a derivation takes, to within 32 MiB. */
export function memoryFor({ n, r }: ScryptParameters): number {
  return 128 * n * r;
}

/**
 * Parses the parameters in the first bytes of a file. They are hostile, and cannot be authenticated yet: a
 * cost beyond what the official tools ever ask for is refused here, before it is incurred. `name` is for
 * messages. Throws DamagedError.
 */
export function parseScryptHeader(untrustedHeader: Buffer, name: string): ScryptParameters {
  const sum = createHash('sha256').update(untrustedHeader.subarray(0, 48)).digest();
  if (
    untrustedHeader.length < SCRYPT_HEADER ||
    untrustedHeader.toString('latin1', 0, 7) !== 'scrypt\0' ||
    !sum.subarray(0, 16).equals(untrustedHeader.subarray(48, 64))
  ) {
    throw new DamagedError(`${name} in the backup is damaged: it is not an encrypted file`);
  }
  const n = 2 ** untrustedHeader.readUInt8(7);
  const r = untrustedHeader.readUInt32BE(8);
  const p = untrustedHeader.readUInt32BE(12);
  const isInBounds =
    n >= 2 && r >= 1 && p >= 1 && r * p <= MOST_LANES && 128 * n * r <= MOST_MEMORY;
  if (!isInBounds || n * r * p > MOST_WORK) {
    throw new DamagedError(
      `${name} in the backup asks for a key derivation that no backup needs: it is damaged or an attack`,
    );
  }
  return { n, r, p, salt: Buffer.from(untrustedHeader.subarray(16, 48)) };
}

/** Splits the 64 bytes that scrypt derives from passphrase and salt. */
export function scryptKeys(derived: Buffer): ScryptKeys {
  return { cipher: derived.subarray(0, 32), mac: derived.subarray(32) };
}

/** Whether the header is authentic: distinguishes a wrong passphrase from damage to the content. */
export function isHeaderAuthentic(untrustedFile: Buffer, keys: ScryptKeys): boolean {
  const mac = createHmac('sha256', keys.mac).update(untrustedFile.subarray(0, 64)).digest();
  return timingSafeEqual(mac, untrustedFile.subarray(64, SCRYPT_HEADER));
}

/**
 * Authenticates the whole file, then returns its plaintext in slices. `name` is for messages. Throws
 * DamagedError.
 */
export async function openScryptFile(
  untrustedFile: Buffer,
  keys: ScryptKeys,
  name: string,
): Promise<Iterable<Buffer>> {
  // In a file of 96 bytes the header's MAC would be taken for the one at the end.
  if (untrustedFile.length < SCRYPT_OVERHEAD) {
    throw new DamagedError(`${name} in the backup is damaged: it is too short`);
  }
  const end = untrustedFile.length - SCRYPT_MAC;
  const hmac = createHmac('sha256', keys.mac);
  for (let from = 0; from < end; from += SLICE) {
    hmac.update(untrustedFile.subarray(from, Math.min(from + SLICE, end)));
    await setImmediate();
  }
  if (!timingSafeEqual(hmac.digest(), untrustedFile.subarray(end))) {
    throw new DamagedError(
      `${name} in the backup was damaged or tampered with: its authentication code does not match`,
    );
  }
  return decrypted(untrustedFile.subarray(SCRYPT_HEADER, end), keys);
}

function* decrypted(ciphertext: Buffer, keys: ScryptKeys): Generator<Buffer, void, undefined> {
  // Counter mode: encrypting is decrypting.
  const cipher = createCipheriv('aes-256-ctr', keys.cipher, Buffer.alloc(16));
  for (let from = 0; from < ciphertext.length; from += SLICE) {
    yield cipher.update(ciphertext.subarray(from, from + SLICE));
  }
}

/**
 * Makes a file of the scrypt utility, piece by piece. The keys must have been derived with the parameters.
 */
export class ScryptFileWriter {
  /** What the file begins with. */
  readonly header: Buffer;
  readonly #cipher;
  readonly #hmac;

  constructor(parameters: ScryptParameters, keys: ScryptKeys) {
    this.header = headerOf(parameters, keys);
    this.#cipher = createCipheriv('aes-256-ctr', keys.cipher, Buffer.alloc(16));
    this.#hmac = createHmac('sha256', keys.mac).update(this.header);
  }

  /** The next piece, encrypted. */
  encrypt(piece: Buffer): Buffer {
    const encrypted = this.#cipher.update(piece);
    this.#hmac.update(encrypted);
    noteBuffer(encrypted.length);
    return encrypted;
  }

  /** The end of the file: the MAC of everything before it. To be called once. */
  end(): Buffer {
    return this.#hmac.digest();
  }
}

function headerOf({ n, r, p, salt }: ScryptParameters, keys: ScryptKeys): Buffer {
  const header = Buffer.alloc(SCRYPT_HEADER);
  header.write('scrypt\0', 'latin1');
  header.writeUInt8(Math.log2(n), 7);
  header.writeUInt32BE(r, 8);
  header.writeUInt32BE(p, 12);
  salt.copy(header, 16);
  createHash('sha256').update(header.subarray(0, 48)).digest().copy(header, 48, 0, 16);
  createHmac('sha256', keys.mac).update(header.subarray(0, 64)).digest().copy(header, 64);
  return header;
}
