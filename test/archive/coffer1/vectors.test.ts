import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expand } from '@noble/hashes/hkdf.js';
import { hmac } from '@noble/hashes/hmac.js';
import { scrypt } from '@noble/hashes/scrypt.js';
import { sha512 } from '@noble/hashes/sha2.js';
import { describe, expect, it } from 'vitest';
import { deriveRootKey, memberKeyBytes } from '../../../dom0-agent/archive/coffer1/keys.ts';
import { openMember, sealMember } from '../../../dom0-agent/archive/coffer1/seal-member.ts';
import { openArchive } from '../../../dom0-agent/archive/open-archive.ts';
import { inputOf } from '../memory.ts';
import { makeArchive, never } from './sample.ts';

interface MemberVector {
  name: string;
  macKey: string;
  encKey: string;
  counter: string;
  plaintext: string;
  stored: string;
  mac: string;
}
interface Vector {
  passphrase: string;
  kdfSalt: string;
  kdfN: number;
  kdfR: number;
  kdfP: number;
  rootKey: string;
  backupId: string;
  members: MemberVector[];
}

const file = new URL('../../vectors/coffer-1-keys.json', import.meta.url);
const vectors = JSON.parse(readFileSync(file, 'utf8')) as Vector[];
const bytes = (hex: string): Buffer => Buffer.from(hex, 'hex');
const hex = (data: Uint8Array): string => Buffer.from(data).toString('hex');
const openssl = (args: string[], input: Buffer = Buffer.alloc(0)): string =>
  hex(execFileSync('openssl', args, { input }));

describe.each(vectors)('the keys under "$passphrase"', (vector) => {
  const { passphrase, kdfSalt, kdfN, kdfR, kdfP, rootKey, backupId, members } = vector;

  it('come from the root key that coffer derives', async () => {
    const root = await deriveRootKey(Buffer.from(passphrase), bytes(kdfSalt), {
      n: kdfN,
      r: kdfR,
      p: kdfP,
    });
    expect(hex(root)).toBe(rootKey);
  });

  it('come from the root key that @noble/hashes derives', () => {
    const cost = { N: kdfN, r: kdfR, p: kdfP, dkLen: 64 };
    expect(hex(scrypt(passphrase, bytes(kdfSalt), cost))).toBe(rootKey);
  });

  it("come from the root key that openssl's command line derives", () => {
    const options = [`hexpass:${hex(Buffer.from(passphrase))}`, `hexsalt:${kdfSalt}`];
    options.push(`n:${kdfN}`, `r:${kdfR}`, `p:${kdfP}`, `maxmem_bytes:${256 * kdfN * kdfR}`);
    const args = options.flatMap((option) => ['-kdfopt', option]);
    expect(openssl(['kdf', '-keylen', '64', ...args, '-binary', 'SCRYPT'])).toBe(rootKey);
  });

  it.each(members)('are the same for $name everywhere', ({ name, macKey, encKey, counter }) => {
    const keys = memberKeyBytes(bytes(rootKey), backupId, name);
    expect(hex(keys.mac)).toBe(macKey);
    expect(hex(keys.enc) + hex(keys.counter)).toBe(encKey + counter);
    for (const [purpose, expected] of [
      ['mac', macKey],
      ['enc', encKey + counter],
    ] as const) {
      const info = Buffer.from(`coffer-1 ${purpose} ${backupId} ${name}`);
      expect(hex(expand(sha512, bytes(rootKey), info, expected.length / 2))).toBe(expected);
      const block = Buffer.concat([info, Buffer.from([1])]);
      const mac = ['dgst', '-sha512', '-mac', 'HMAC', '-macopt', `hexkey:${rootKey}`, '-binary'];
      expect(openssl(mac, block).slice(0, expected.length)).toBe(expected);
    }
  });

  it.each(members)('seal and open $name as openssl and @noble/hashes do', async (member) => {
    const { name, macKey, encKey, counter, plaintext, stored, mac } = member;
    const key = { root: bytes(rootKey), backupId, encrypted: true };
    const sealed = bytes(plaintext);
    expect(await sealMember(key, name, sealed)).toBe(mac);
    expect(hex(sealed)).toBe(stored);
    const opened = [...(await openMember(key, name, bytes(stored), mac))];
    expect(hex(Buffer.concat(opened))).toBe(plaintext);

    const enc = ['enc', '-aes-256-ctr', '-K', encKey, '-iv', counter];
    expect(openssl(enc, bytes(plaintext))).toBe(stored);
    expect(hex(hmac(sha512, bytes(macKey), bytes(stored)))).toBe(mac);
  });
});

it.each([
  ['right', 'correct horse battery staple'],
  ['wrong', 'incorrect'],
])('the passphrase, %s, is wiped once the key is derived', async (_, text) => {
  const passphrase = Buffer.from(text);
  const archive = inputOf(await makeArchive({}), true);
  await openArchive(archive, passphrase, never).catch(() => undefined);
  expect(passphrase.equals(Buffer.alloc(text.length))).toBe(true);
});
