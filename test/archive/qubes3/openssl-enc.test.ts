import { Readable } from 'node:stream';
import { deflateSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canDecipher, decipher } from '../../../dom0-agent/archive/qubes3/openssl-enc.ts';
import { isZipped, unzip } from '../../../dom0-agent/archive/qubes3/unzip.ts';
import { DamagedError } from '../../../shared/errors.ts';
import { WorkDirectory, cut, noise } from '../official-archives.ts';

async function all(source: AsyncIterable<Buffer>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of source) pieces.push(piece);
  return Buffer.concat(pieces);
}

function sourceOf(bytes: Buffer, size = bytes.length): AsyncIterable<Buffer> {
  return Readable.from(cut(bytes, Math.max(size, 1)));
}

describe.each([
  'aes-128-cbc',
  'aes-256-cbc',
  'des-ede3-cbc',
  'aes-192-ctr',
  'chacha20',
  'camellia-128-cfb',
])('the output of openssl enc -%s', (cipher) => {
  test('is decrypted, however the stream is split', async () => {
    expect(canDecipher(cipher)).toBe(true);
    using work = new WorkDirectory();
    const plain = noise(5000);
    work.write('plain', plain);
    const args = ['enc', `-${cipher}`, '-md', 'MD5', '-pass', 'stdin', '-in', 'plain'];
    const stored = work.run('openssl', args, Buffer.from('pass wörd!\n'));
    for (const size of [1, 16, 17, 1000, 5000, 10_000]) {
      const opened = await all(
        decipher(cipher, Buffer.from('pass wörd!'), sourceOf(stored, size), 'file'),
      );
      expect(opened.equals(plain)).toBe(true);
    }
  });
});

test.each(['bf-cbc', 'rc4', 'aes-256-gcm', 'aes-128-xts', 'id-aes128-wrap', 'none', ''])(
  'an unsupported cipher is known before anything is decrypted: "%s"',
  (cipher) => {
    expect(canDecipher(cipher)).toBe(false);
  },
);

test.each([
  ['no bytes', ''],
  ['no salt', 'Salted__'],
  ['other bytes in place of the header', 'x'.repeat(64)],
  ['half a block', `Salted__${'x'.repeat(8)}${'y'.repeat(20)}`],
])('a ciphertext with %s is refused', async (_, text) => {
  const source = sourceOf(Buffer.from(text));
  await expect(all(decipher('aes-256-cbc', Buffer.from('x'), source, 'file'))).rejects.toThrow(
    DamagedError,
  );
});

describe('a part of format 2', () => {
  test.each([
    ['gzip', gzipSync(noise(100_000))],
    ['zlib', deflateSync(noise(100_000))],
  ])(
    'that is compressed with %s is decompressed, and refused if it is truncated',
    async (_, stored) => {
      expect(isZipped(stored)).toBe(true);
      expect((await all(unzip(sourceOf(stored, 1000), 'part'))).equals(noise(100_000))).toBe(true);
      const short = sourceOf(stored.subarray(0, -5));
      await expect(all(unzip(short, 'part'))).rejects.toThrow(DamagedError);
    },
  );

  test('with arbitrary bytes is decompressed or refused as damaged', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array(), async (bytes) => {
        try {
          await all(
            unzip(sourceOf(Buffer.concat([Buffer.from([0x1f, 0x8b, 8, 0]), bytes])), 'part'),
          );
        } catch (error) {
          expect(error).toBeInstanceOf(DamagedError);
        }
      }),
    );
  });

  test('passes on an error of its source', async () => {
    const failing = Readable.from(
      (function* () {
        yield gzipSync(noise(1000)).subarray(0, 500);
        throw new DamagedError('the source');
      })(),
    );
    await expect(all(unzip(failing, 'part'))).rejects.toThrow('the source');
  });
});

test('a tar is not mistaken for a compressed stream', () => {
  expect(isZipped(Buffer.from('qubes.xml'))).toBe(false);
});
