import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { paddingOf, parseNumber } from '../../shared/tar-block.ts';

const octal = (text: string) => parseNumber(Buffer.from(text, 'latin1'));

describe('a number field of a tar header', () => {
  test('consists of octal digits between blanks', () => {
    const blanks = fc.stringMatching(/^[ \0]{0,3}$/);
    fc.assert(
      fc.property(blanks, fc.nat(8 ** 11 - 1), blanks, (before, value, after) => {
        expect(octal(before + value.toString(8) + after)).toBe(value);
      }),
    );
  });

  test('is 0 if it is empty', () => {
    expect(octal('')).toBe(0);
    expect(octal(' \0 \0')).toBe(0);
  });

  test('is in base 256 if its first bit is set, up to 2^53 - 1', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (value) => {
        const field = Buffer.alloc(12);
        field[0] = 0x80;
        field.writeBigUInt64BE(value, 4);
        const expected = value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : undefined;
        expect(parseNumber(field)).toBe(expected);
      }),
    );
  });

  test.each(['8', '0x1', '1 1', '1\x001', '-1', '１', 'many', '\xff'.repeat(12), '\x81\0'])(
    'cannot be %j',
    (text) => {
      expect(octal(text)).toBeUndefined();
    },
  );
});

test('the padding of a tar member fills its last block', () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), (size) => {
      expect((size % 512) + paddingOf(size)).toBe(size % 512 === 0 ? 0 : 512);
    }),
  );
});
