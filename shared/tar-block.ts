/** Everything in a tar comes in blocks of this many bytes (POSIX.1-2001, "ustar"). */
export const BLOCK = 512;

/** The length of the end of a tar: two blocks of zeros. */
export const END_OF_TAR = 2 * BLOCK;

/** The number of zeros that pad `size` bytes to whole blocks. */
export function paddingOf(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}

/**
 * A number field of a header: octal digits between blanks, or, with the first bit set, base 256 (GNU tar's
 * extension). An empty field is 0. Undefined if it is anything else, is negative, or above 2^53 - 1.
 */
export function parseNumber(untrustedField: Buffer): number | undefined {
  if (untrustedField[0] === 0x80) return parseBase256(untrustedField.subarray(1));
  let at = 0;
  let value = 0;
  while (isBlank(untrustedField[at])) at++;
  for (; isOctalDigit(untrustedField[at]); at++)
    value = value * 8 + (untrustedField[at] ?? 0) - ZERO;
  while (isBlank(untrustedField[at])) at++;
  return at === untrustedField.length ? value : undefined;
}

const ZERO = 0x30;

function isBlank(untrustedByte: number | undefined): boolean {
  return untrustedByte === 0x20 || untrustedByte === 0;
}

function isOctalDigit(untrustedByte: number | undefined): boolean {
  return untrustedByte !== undefined && untrustedByte >= ZERO && untrustedByte < ZERO + 8;
}

function parseBase256(untrustedDigits: Buffer): number | undefined {
  let value = 0;
  for (const digit of untrustedDigits) {
    value = value * 256 + digit;
    if (value > Number.MAX_SAFE_INTEGER) return undefined;
  }
  return value;
}
