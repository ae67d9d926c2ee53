import { isUtf8 } from 'node:buffer';
import { WrongPassphraseError } from '../../../shared/errors.ts';

/** What Python's `str.rstrip()` treats as white space. */
const BLANKS_AT_END =
  /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+$/u;

/**
 * The passphrase that the official tools read from a file in which coffer reads `passphrase`: in Python,
 * `open(file).readline().rstrip()` also ends the line at a carriage return, and strips white space. Undefined if they
 * would read the same, nothing at all, or could not read the file.
 */
export function officialReading(passphrase: Buffer): Buffer | undefined {
  if (!isUtf8(passphrase)) return undefined;
  const [line = ''] = passphrase.toString('utf8').split('\r');
  const reading = Buffer.from(line.replace(BLANKS_AT_END, ''));
  return reading.equals(passphrase) || reading.length === 0 ? undefined : reading;
}

/**
 * Opens a backup of the official tools with the passphrase as it is and, if that is wrong, as those tools
 * would have read it. Returns the passphrase that was right.
 */
export async function withOfficialReading<T>(
  given: Buffer,
  open: (passphrase: Buffer) => T | Promise<T>,
): Promise<{ readonly passphrase: Buffer; readonly opened: T }> {
  try {
    return { passphrase: given, opened: await open(given) };
  } catch (error) {
    const reading = officialReading(given);
    if (!(error instanceof WrongPassphraseError) || reading === undefined) throw error;
    return { passphrase: reading, opened: await open(reading) };
  }
}
