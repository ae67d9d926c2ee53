import { scryptSync } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  openScryptFile,
  parseScryptHeader,
  isHeaderAuthentic,
  scryptKeys,
} from '../../../dom0-agent/archive/qubes4/scrypt-file.ts';
import { DamagedError } from '../../../shared/errors.ts';
import { WorkDirectory, noise } from '../official-archives.ts';
import { withCosts } from './make-qubes4.ts';

/** What scrypt(1) makes of `content`. */
function encrypted(
  content: Buffer,
  passphrase: string,
  logN: number,
  r: number,
  p: number,
): Buffer {
  using work = new WorkDirectory();
  work.write('plain', content);
  const costs = ['--logN', String(logN), '-r', String(r), '-p', String(p)];
  const args = ['enc', ...costs, '--passphrase', 'dev:stdin-once', 'plain'];
  return work.run('scrypt', args, Buffer.from(`${passphrase}\n`));
}

function keysOf(file: Buffer, passphrase: string) {
  const { n, r, p, salt } = parseScryptHeader(file, 'file');
  return scryptKeys(scryptSync(Buffer.from(passphrase), salt, 64, { N: n, r, p }));
}

async function opened(file: Buffer, passphrase: string): Promise<Buffer> {
  return Buffer.concat([...(await openScryptFile(file, keysOf(file, passphrase), 'file'))]);
}

describe('a file that scrypt(1) made', () => {
  test.each([
    [0, 10, 8, 1],
    [1, 11, 8, 1],
    [15, 10, 8, 3],
    [3_000_000, 10, 8, 1],
  ])('of %i bytes is decrypted', async (length, logN, r, p) => {
    const content = noise(length);
    const file = encrypted(content, 'pass wörd', logN, r, p);
    expect((await opened(file, 'pass wörd')).equals(content)).toBe(true);
  });

  test('shows in its header whether the passphrase is right', () => {
    const file = encrypted(Buffer.from('x'), 'right', 10, 8, 1);
    expect(isHeaderAuthentic(file, keysOf(file, 'right'))).toBe(true);
    expect(isHeaderAuthentic(file, keysOf(file, 'wrong'))).toBe(false);
  });

  test('is refused if any byte of it has changed', async () => {
    const file = encrypted(noise(100), 'right', 10, 8, 1);
    const keys = keysOf(file, 'right');
    const isRead = async (changed: Buffer): Promise<boolean> => {
      try {
        parseScryptHeader(changed, 'file');
        if (!isHeaderAuthentic(changed, keys)) return false;
        for (const { length } of await openScryptFile(changed, keys, 'file')) {
          expect(length).toBe(100);
        }
        return true;
      } catch (error) {
        expect(error).toBeInstanceOf(DamagedError);
        return false;
      }
    };
    expect(await isRead(file)).toBe(true);
    for (let at = 0; at < file.length; at++) {
      const changed = Buffer.from(file);
      changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
      expect(await isRead(changed), `byte ${at}`).toBe(false);
      expect(await isRead(file.subarray(0, at)), `cut at ${at}`).toBe(false);
    }
  });
});

test('the highest costs that the official tools choose are accepted, and no higher ones', () => {
  const file = encrypted(Buffer.from('x'), 'right', 10, 8, 1);
  expect(parseScryptHeader(withCosts(file, 21, 8, 1), 'file')).toMatchObject({
    n: 2 ** 21,
    r: 8,
    p: 1,
  });
  expect(() => parseScryptHeader(withCosts(file, 22, 8, 1), 'file')).toThrow(DamagedError);
  expect(() => parseScryptHeader(withCosts(file, 21, 8, 5), 'file')).toThrow(DamagedError);
});

test('a header of any bytes is refused as damaged', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      expect(() => parseScryptHeader(Buffer.from(bytes), 'file')).toThrow(DamagedError);
    }),
  );
});
