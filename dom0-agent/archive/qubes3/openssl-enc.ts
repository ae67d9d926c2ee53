import { type CipherInfo, createDecipheriv, createHash, getCipherInfo } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { ByteReader } from '../../../shared/byte-reader.ts';
import { DamagedError, FailedError } from '../../../shared/errors.ts';
import { MiB } from '../../../shared/sizes.ts';

/** What `openssl enc` with a passphrase writes first; the salt follows. */
const MAGIC = Buffer.from('Salted__');
const SALT = 8;
const SLICE = 1 * MiB;
/** The kinds of cipher that `openssl enc` takes. */
const MODES: readonly (string | undefined)[] = ['cbc', 'cfb', 'ofb', 'ctr', 'ecb', 'stream'];

/** Whether these bytes begin what `openssl enc` wrote. */
export function isOpensslEnc(bytes: Buffer): boolean {
  return bytes.subarray(0, MAGIC.length).equals(MAGIC);
}

/** Whether the output of `openssl enc -<algorithm>` can be decrypted here. */
export function canDecipher(algorithm: string): boolean {
  const info = getCipherInfo(algorithm);
  if (info === undefined || !MODES.includes(info.mode)) return false;
  try {
    const iv = info.ivLength === undefined ? null : Buffer.alloc(info.ivLength);
    createDecipheriv(algorithm, Buffer.alloc(info.keyLength), iv);
    return true;
  } catch {
    // OpenSSL knows the cipher, but not without its legacy provider.
    return false;
  }
}

/**
 * Decrypts the output of `openssl enc -<algorithm> -md MD5 -pass …`: one cipher stream over all of `source`,
 * whose chunks may be large. Throws DamagedError when the beginning or the end of the stream is invalid.
 *
 * @param name of what is decrypted, for errors
 */
export async function* decipher(
  algorithm: string,
  passphrase: Buffer,
  source: AsyncIterable<Buffer>,
  name: string,
): AsyncGenerator<Buffer, void, undefined> {
  await using bytes = new ByteReader(source, `${name} in the backup`);
  if (await bytes.ended()) throw new DamagedError(`${name} in the backup is empty`);
  const stream = start(algorithm, passphrase, await readSalt(bytes));
  while (!(await bytes.ended())) {
    yield stream.update(await bytes.atMost(SLICE));
    await setImmediate();
  }
  try {
    yield stream.final();
  } catch (cause) {
    throw new DamagedError(
      `${name} in the backup is cut short: its last bytes cannot be decrypted`,
      {
        cause,
      },
    );
  }
}

async function readSalt(bytes: ByteReader): Promise<Buffer> {
  if (!isOpensslEnc(await bytes.exact(MAGIC.length))) {
    throw new DamagedError(`${bytes.name} is not encrypted, as the header says it is`);
  }
  return bytes.exact(SALT);
}

function start(
  algorithm: string,
  passphrase: Buffer,
  salt: Buffer,
): ReturnType<typeof createDecipheriv> {
  const info = getCipherInfo(algorithm);
  if (info === undefined)
    throw new FailedError(`this Node.js does not offer the cipher ${algorithm}`);
  const { key, iv } = bytesToKey(passphrase, salt, info);
  return createDecipheriv(algorithm, key, iv);
}

/**
 * OpenSSL's EVP_BytesToKey with MD5 and one round, the default of `openssl enc` up to 1.0.2: MD5 of the
 * previous digest, the passphrase and the salt, repeated as needed.
 */
function bytesToKey(
  passphrase: Buffer,
  salt: Buffer,
  { keyLength, ivLength = 0 }: CipherInfo,
): { key: Buffer; iv: Buffer | null } {
  let digest = Buffer.alloc(0);
  let bytes = Buffer.alloc(0);
  while (bytes.length < keyLength + ivLength) {
    digest = createHash('md5').update(digest).update(passphrase).update(salt).digest();
    bytes = Buffer.concat([bytes, digest]);
  }
  const iv = bytes.subarray(keyLength, keyLength + ivLength);
  return { key: bytes.subarray(0, keyLength), iv: ivLength === 0 ? null : iv };
}
