import { createCipheriv, createDecipheriv, webcrypto } from 'node:crypto';
import { noteBuffer } from '../../../shared/buffer-collection.ts';
import { KiB } from '../../../shared/sizes.ts';
import { DamagedPartError } from '../parts/damaged-part-error.ts';
import { type MemberKeys, type RootKey, memberKeys } from './keys.ts';

/** What seals the members of one archive. */
export interface Seal {
  readonly root: RootKey;
  readonly backupId: string;
  /** False for `--no-encrypt`: members are then stored as they are, and authenticated alike. */
  readonly encrypted: boolean;
}

/** A member as it is stored, and the text of its `.hmac` member, without the line's end. */
export interface SealedMember {
  readonly stored: Buffer;
  readonly mac: string;
}

/** The length of a MAC's text: HMAC-SHA512 in hex. */
export const MAC_LENGTH = 128;

/** How much is encrypted at a time: what a processor's cache holds. */
const SLICE = 256 * KiB;

/** Encrypts `bytes` where they are, then MACs them, on another thread. */
export async function sealMember(seal: Seal, name: string, bytes: Buffer): Promise<SealedMember> {
  const keys = await memberKeys(seal.root, seal.backupId, name);
  if (seal.encrypted) {
    const cipher = createCipheriv('aes-256-ctr', keys.enc, keys.counter);
    for (let at = 0; at < bytes.length; at += SLICE) {
      noteBuffer(SLICE);
      cipher.update(bytes.subarray(at, at + SLICE)).copy(bytes, at);
    }
  }
  const mac = Buffer.from(await webcrypto.subtle.sign('HMAC', keys.mac, bytes));
  return { stored: bytes, mac: mac.toString('hex') };
}

/** A member whose MAC holds: what is stored, and how to decrypt it. */
export interface AuthenticMember {
  readonly stored: Buffer;
  readonly keys: MemberKeys;
  readonly encrypted: boolean;
}

/** Checks the MAC over what is stored, on another thread. Throws DamagedPartError when it does not hold. */
export async function authenticate(
  seal: Seal,
  name: string,
  untrustedStored: Buffer,
  untrustedMac: string,
): Promise<AuthenticMember> {
  const keys = await memberKeys(seal.root, seal.backupId, name);
  if (!(await holds(keys, untrustedStored, untrustedMac))) {
    throw new DamagedPartError(
      name,
      'was damaged or tampered with: its authentication code does not hold',
    );
  }
  return { stored: untrustedStored, keys, encrypted: seal.encrypted };
}

/** What was sealed, slice by slice, in memory of its own. */
export function* decrypt({ stored, keys, encrypted }: AuthenticMember): Generator<Buffer> {
  const decipher = createDecipheriv('aes-256-ctr', keys.enc, keys.counter);
  for (let at = 0; at < stored.length; at += SLICE) {
    const slice = stored.subarray(at, at + SLICE);
    yield encrypted ? decipher.update(slice) : Buffer.from(slice);
  }
}

/** Whether the MAC of a member that is never encrypted, the header, holds. */
export async function memberHolds(
  seal: Seal,
  name: string,
  untrustedStored: Buffer,
  untrustedMac: string,
): Promise<boolean> {
  return holds(await memberKeys(seal.root, seal.backupId, name), untrustedStored, untrustedMac);
}

async function holds(
  keys: MemberKeys,
  untrustedStored: Buffer,
  untrustedMac: string,
): Promise<boolean> {
  const mac = Buffer.from(untrustedMac, 'hex');
  return webcrypto.subtle.verify('HMAC', keys.mac, mac, untrustedStored);
}
