import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  timingSafeEqual,
  webcrypto,
} from 'node:crypto';
import { noteBuffer } from '../../../shared/buffer-collection.ts';
import { DamagedError } from '../../../shared/errors.ts';
import { KiB } from '../../../shared/sizes.ts';
import { type MemberKeys, type RootKey, memberKeys } from './keys.ts';

/** What the keys of an archive's members are derived from. */
export interface ArchiveKey {
  readonly root: RootKey;
  readonly backupId: string;
  /** False for `--no-encrypt`: members are then stored in the clear, and authenticated as usual. */
  readonly encrypted: boolean;
}

/** The length of a MAC as text: HMAC-SHA512 in hex. */
export const MAC_LENGTH = 128;

/** How many bytes are encrypted at a time: they fit into a processor's cache. */
const SLICE = 256 * KiB;
/** Up to this length, a MAC takes less time than handing the bytes to another thread. */
const SHORT = 64 * KiB;

const HMAC_SHA512 = { name: 'HMAC', hash: 'SHA-512' };

/** Encrypts `bytes` in place. Returns their MAC in hex, computed on another thread unless they are few. */
export async function sealMember(key: ArchiveKey, name: string, bytes: Buffer): Promise<string> {
  const keys = memberKeys(key.root, key.backupId, name);
  if (key.encrypted) {
    const cipher = createCipheriv('aes-256-ctr', keys.enc, keys.counter);
    for (let at = 0; at < bytes.length; at += SLICE) {
      noteBuffer(SLICE);
      cipher.update(bytes.subarray(at, at + SLICE)).copy(bytes, at);
    }
  }
  return (await macOf(bytes, keys)).toString('hex');
}

/**
 * Authenticates a member, on another thread unless it is short, then returns its plaintext in slices, each in a
 * new buffer. Throws DamagedError.
 */
export async function openMember(
  key: ArchiveKey,
  name: string,
  untrustedBytes: Buffer,
  untrustedMac: string,
): Promise<Iterable<Buffer>> {
  const keys = memberKeys(key.root, key.backupId, name);
  if (!(await isAuthentic(keys, untrustedBytes, untrustedMac))) {
    throw new DamagedError(
      `${name} in the backup was damaged or tampered with: its authentication code does not match`,
    );
  }
  return decrypted(untrustedBytes, keys, key.encrypted);
}

function* decrypted(bytes: Buffer, keys: MemberKeys, encrypted: boolean): Generator<Buffer> {
  const decipher = createDecipheriv('aes-256-ctr', keys.enc, keys.counter);
  for (let at = 0; at < bytes.length; at += SLICE) {
    const slice = bytes.subarray(at, at + SLICE);
    yield encrypted ? decipher.update(slice) : Buffer.from(slice);
  }
}

/** Whether a member that is never encrypted, the header, is authentic. */
export async function isMemberAuthentic(
  key: ArchiveKey,
  name: string,
  untrustedBytes: Buffer,
  untrustedMac: string,
): Promise<boolean> {
  return isAuthentic(memberKeys(key.root, key.backupId, name), untrustedBytes, untrustedMac);
}

async function isAuthentic(
  keys: MemberKeys,
  untrustedBytes: Buffer,
  untrustedMac: string,
): Promise<boolean> {
  const mac = await macOf(untrustedBytes, keys);
  const untrusted = Buffer.from(untrustedMac, 'hex');
  return untrusted.length === mac.length && timingSafeEqual(untrusted, mac);
}

async function macOf(bytes: Buffer, keys: MemberKeys): Promise<Buffer> {
  if (bytes.length <= SHORT) return createHmac('sha512', keys.mac).update(bytes).digest();
  const key = await webcrypto.subtle.importKey('raw', keys.mac, HMAC_SHA512, false, ['sign']);
  return Buffer.from(await webcrypto.subtle.sign('HMAC', key, bytes));
}
