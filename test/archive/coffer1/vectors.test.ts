import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expand } from '@noble/hashes/hkdf.js';
import { hmac } from '@noble/hashes/hmac.js';
import { scrypt } from '@noble/hashes/scrypt.js';
import { sha512 } from '@noble/hashes/sha2.js';
import { describe, expect, it } from 'vitest';
import { ChunkIds } from '../../../dom0-agent/archive/coffer1/chunk-ids.ts';
import { deriveRootKey, memberKeys } from '../../../dom0-agent/archive/coffer1/keys.ts';
import { openMember, sealMember } from '../../../dom0-agent/archive/coffer1/seal-member.ts';
import { openArchive } from '../../../dom0-agent/archive/open-archive.ts';
import { inputOf } from '../memory.ts';
import { makeArchive, never } from './sample.ts';
import { unwrapSeriesKey, wrapSeriesKey } from '../../../dom0-agent/archive/coffer1/series-key.ts';

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
  seriesId: string;
  seriesKey: string;
  wrappedKey: string;
  wrappedKeyMac: string;
  /** Chunks of `length` bytes `fill`, with these numbers in a volume. */
  chunks: {
    domain: string;
    chunkKey: string;
    digestKey: string;
    fill: number;
    length: number;
    id: string;
    numbers: number[];
    digest: string;
  };
  backupId: string;
  members: MemberVector[];
}

const file = new URL('../../vectors/coffer-1-keys.json', import.meta.url);
const vectors = JSON.parse(readFileSync(file, 'utf8')) as Vector[];
const bytes = (hex: string): Buffer => Buffer.from(hex, 'hex');
const hex = (data: Uint8Array): string => Buffer.from(data).toString('hex');
const openssl = (args: string[], input: Buffer = Buffer.alloc(0)): string =>
  hex(execFileSync('openssl', args, { input }));

const hmacByOpenssl = (digest: string, key: string, input: Buffer): string =>
  openssl(['dgst', `-${digest}`, '-mac', 'HMAC', '-macopt', `hexkey:${key}`, '-binary'], input);
/** The first 64 bytes of HKDF-Expand, which are a single HMAC. */
const expandByOpenssl = (key: string, info: string): string =>
  hmacByOpenssl('sha512', key, Buffer.concat([Buffer.from(info), Buffer.from([1])]));

describe.each(vectors)('the keys under "$passphrase"', (vector) => {
  const { passphrase, kdfSalt, kdfN, kdfR, kdfP, rootKey, backupId, members } = vector;
  const { seriesId, seriesKey, wrappedKey, wrappedKeyMac, chunks } = vector;

  it('follow from the root key that coffer derives', async () => {
    const root = await deriveRootKey(Buffer.from(passphrase), bytes(kdfSalt), {
      n: kdfN,
      r: kdfR,
      p: kdfP,
    });
    expect(hex(root)).toBe(rootKey);
  });

  it('follow from the root key that @noble/hashes derives', () => {
    const cost = { N: kdfN, r: kdfR, p: kdfP, dkLen: 64 };
    expect(hex(scrypt(passphrase, bytes(kdfSalt), cost))).toBe(rootKey);
  });

  it("follow from the root key that openssl's command line derives", () => {
    const options = [`hexpass:${hex(Buffer.from(passphrase))}`, `hexsalt:${kdfSalt}`];
    options.push(`n:${kdfN}`, `r:${kdfR}`, `p:${kdfP}`, `maxmem_bytes:${256 * kdfN * kdfR}`);
    const args = options.flatMap((option) => ['-kdfopt', option]);
    expect(openssl(['kdf', '-keylen', '64', ...args, '-binary', 'SCRYPT'])).toBe(rootKey);
  });

  it('follow from the series key, which is wrapped as openssl would do it', () => {
    const wrapped = wrapSeriesKey(bytes(rootKey), seriesId, bytes(seriesKey));
    expect(hex(wrapped.wrappedKey)).toBe(wrappedKey);
    expect(hex(wrapped.wrappedKeyMac)).toBe(wrappedKeyMac);
    const unwrapped = unwrapSeriesKey(bytes(rootKey), seriesId, wrapped);
    expect(unwrapped && hex(unwrapped)).toBe(seriesKey);

    const pad = bytes(expandByOpenssl(rootKey, `coffer-1 wrap enc ${seriesId}`));
    const xored = bytes(wrappedKey).map((byte, place) => byte ^ (pad[place] ?? 0));
    expect(hex(xored)).toBe(seriesKey);
    const wrapMac = expandByOpenssl(rootKey, `coffer-1 wrap mac ${seriesId}`);
    expect(hmacByOpenssl('sha512', wrapMac, bytes(wrappedKey))).toBe(wrappedKeyMac);
  });

  it('are not unwrapped with another root key, series id or wrapped key', () => {
    const open = (root: string, id: string, key: string): unknown =>
      unwrapSeriesKey(bytes(root), id, {
        wrappedKey: bytes(key),
        wrappedKeyMac: bytes(wrappedKeyMac),
      });
    const changed = (text: string): string => (text.startsWith('0') ? '1' : '0') + text.slice(1);
    expect(open(rootKey, seriesId, wrappedKey)).toBeDefined();
    expect(open(changed(rootKey), seriesId, wrappedKey)).toBeUndefined();
    expect(open(rootKey, changed(seriesId), wrappedKey)).toBeUndefined();
    expect(open(rootKey, seriesId, changed(wrappedKey))).toBeUndefined();
  });

  it('give the chunk ids and the map digest that openssl computes', () => {
    const chunk = Buffer.alloc(chunks.length, chunks.fill);
    const ids = new ChunkIds(bytes(seriesKey), chunks.domain);
    expect(hex(ids.idOf(chunk))).toBe(chunks.id);
    for (const number of chunks.numbers) ids.add(number, bytes(chunks.id));
    expect(ids.digest()).toBe(chunks.digest);

    const keyOf = (purpose: string): string =>
      expandByOpenssl(seriesKey, `coffer-1 ${purpose} ${chunks.domain}`).slice(0, 64);
    expect(keyOf('chunk')).toBe(chunks.chunkKey);
    expect(keyOf('digest')).toBe(chunks.digestKey);
    expect(hmacByOpenssl('sha256', chunks.chunkKey, chunk).slice(0, 32)).toBe(chunks.id);
    const listed = chunks.numbers.map((number) => {
      const place = Buffer.alloc(8);
      place.writeBigUInt64BE(BigInt(number));
      return Buffer.concat([place, bytes(chunks.id)]);
    });
    expect(hmacByOpenssl('sha256', chunks.digestKey, Buffer.concat(listed))).toBe(chunks.digest);
  });

  it.each(members)(
    'are the same for $name in every implementation',
    ({ name, macKey, encKey, counter }) => {
      const keys = memberKeys(bytes(seriesKey), backupId, name);
      expect(hex(keys.mac)).toBe(macKey);
      expect(hex(keys.enc) + hex(keys.counter)).toBe(encKey + counter);
      for (const [purpose, expected] of [
        ['mac', macKey],
        ['enc', encKey + counter],
      ] as const) {
        const info = Buffer.from(`coffer-1 ${purpose} ${backupId} ${name}`);
        expect(hex(expand(sha512, bytes(seriesKey), info, expected.length / 2))).toBe(expected);
        expect(expandByOpenssl(seriesKey, info.toString()).slice(0, expected.length)).toBe(
          expected,
        );
      }
    },
  );

  it.each(members)('seal and open $name as openssl and @noble/hashes do', async (member) => {
    const { name, macKey, encKey, counter, plaintext, stored, mac } = member;
    const key = { root: bytes(seriesKey), backupId, encrypted: true };
    const sealed = bytes(plaintext);
    expect(await sealMember(key, name, sealed)).toBe(mac);
    expect(hex(sealed)).toBe(stored);
    const opened = await openMember(key, name, bytes(stored), mac);
    expect(hex(Buffer.concat([...opened]))).toBe(plaintext);

    const enc = ['enc', '-aes-256-ctr', '-K', encKey, '-iv', counter];
    expect(openssl(enc, bytes(plaintext))).toBe(stored);
    expect(hex(hmac(sha512, bytes(macKey), bytes(stored)))).toBe(mac);
  });
});

it.each([
  ['right', 'correct horse battery staple'],
  ['wrong', 'incorrect'],
])('a %s passphrase is wiped once the key has been derived', async (_, text) => {
  const passphrase = Buffer.from(text);
  const archive = inputOf(await makeArchive({}), true);
  await openArchive(archive, passphrase, never).catch(() => undefined);
  expect(passphrase.equals(Buffer.alloc(text.length))).toBe(true);
});
