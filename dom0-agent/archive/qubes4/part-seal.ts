import { createCipheriv, createHash, createHmac } from 'node:crypto';
import { noteBuffer } from '../../../shared/buffer-collection.ts';
import { SCRYPT_HEADER, type ScryptKeys, type ScryptParameters } from './scrypt-file.ts';

const MAC = 32;
/** The bytes that a part has more when it is sealed. */
export const SEAL_LENGTH = SCRYPT_HEADER + MAC;

/**
 * Makes a file of the scrypt utility, piece by piece; the format is told in scrypt-file.ts. The keys
 * must be those that the parameters lead to.
 */
export class PartSeal {
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

  /** What the file ends with: the MAC of all before it. To be called once. */
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
