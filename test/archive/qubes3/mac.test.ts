import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  MAC_ALGORITHMS,
  canAuthenticate,
  computeMac,
  computeMacWithNoble,
  isAuthentic,
  parseMacText,
} from '../../../dom0-agent/archive/qubes3/mac.ts';
import { WorkDirectory, noise } from '../official-archives.ts';

/** Algorithms that @noble/hashes does not offer. */
const ONLY_OPENSSL = ['md5-sha1', 'sm3'];
const PASSPHRASE = Buffer.from('pass wörd!');
const message = noise(1000);

describe.each(MAC_ALGORITHMS)('HMAC-%s', (algorithm) => {
  test('is what openssl computes', () => {
    using work = new WorkDirectory();
    const printed = work.run(
      'openssl',
      ['dgst', `-${algorithm}`, '-hmac', PASSPHRASE.toString()],
      message,
    );
    const mac = parseMacText(printed.toString());
    expect(mac).toEqual(computeMac(algorithm, PASSPHRASE, message));
  });

  test('is what @noble/hashes computes, if it offers the algorithm', () => {
    const compute = (): Buffer => computeMacWithNoble(algorithm, PASSPHRASE, message);
    if (ONLY_OPENSSL.includes(algorithm)) expect(compute).toThrow(RangeError);
    else expect(compute()).toEqual(computeMac(algorithm, PASSPHRASE, message));
  });
});

test('an unsupported MAC algorithm is known before anything is computed', () => {
  expect(canAuthenticate('whirlpool')).toBe(false);
  expect(canAuthenticate('shake128')).toBe(false);
  expect(canAuthenticate('toString')).toBe(false);
  expect(() => computeMac('whirlpool', PASSPHRASE, message)).toThrow(RangeError);
});

test.each([
  ['(stdin)= 0aff', '0aff'],
  ['HMAC-SHA512(stdin)= 0aff\n', '0aff'],
  ['SHA2-512(stdin)= 0aff\r\n', '0aff'],
  ['BLAKE2B-512(stdin)= 0aff\n', '0aff'],
])('the text of a MAC, %j, is accepted', (text, hex) => {
  expect(parseMacText(text)?.toString('hex')).toBe(hex);
});

test.each([
  '',
  '0aff',
  '(stdin)= ',
  '(stdin)= 0AFG',
  '(stdin)= aa\nbb',
  '(other)= aa',
  `(stdin)= ${'a'.repeat(300)}`,
])('the text of a MAC, %j, is not accepted', (text) => {
  expect(parseMacText(text)).toBeUndefined();
});

test('only the right MAC, in the form that openssl prints, is authentic', () => {
  const key = Buffer.from('key');
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), fc.string(), (message, text) => {
      expect(parseMacText(text)).toBeUndefined();
      const bytes = Buffer.from(message);
      const mac = computeMac('sha256', key, bytes).toString('hex');
      expect(parseMacText(`(stdin)= ${mac}`)?.toString('hex')).toBe(mac);
      expect(isAuthentic('sha256', key, bytes, `(stdin)= ${mac}\n`)).toBe(true);
      expect(isAuthentic('sha256', key, bytes, `(stdin)= ${mac.slice(2)}\n`)).toBe(false);
      expect(isAuthentic('sha256', key, Buffer.concat([bytes, bytes, key]), mac)).toBe(false);
    }),
  );
});
