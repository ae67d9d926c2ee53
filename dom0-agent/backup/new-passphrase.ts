import { isUtf8 } from 'node:buffer';
import { RefusedError } from '../../shared/errors.ts';
import type { BackupFormat } from './backup-formats.ts';

/** In bytes. openssl, with which recover.sh derives the key, reads 1023 at most. */
const LONGEST_PASSPHRASE = 1000;

const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);

/**
 * Throws RefusedError for a passphrase that not every reader of this format accepts: see docs/archive-format.md,
 * "The passphrase". Returns a warning for everything in it that may give different bytes when the same
 * passphrase is typed elsewhere.
 */
export function checkNewPassphrase(passphrase: Buffer, format: BackupFormat): string[] {
  const refuse = (why: string): never => {
    throw new RefusedError(`this passphrase cannot be used for a backup: ${why}`);
  };
  if (passphrase.length > LONGEST_PASSPHRASE) refuse('it has more than 1000 bytes');
  if (passphrase.includes(0)) refuse('it contains a NUL byte');
  if (passphrase.subarray(0, 3).equals(BYTE_ORDER_MARK)) {
    refuse('its file begins with a byte order mark, which an editor inserted: save it without one');
  }
  const doubts = doubtsAbout(passphrase);
  const [first] = doubts.filter(({ isOfficial }) => !isOfficial);
  if (format === 'qubes-4' && first !== undefined) {
    refuse(`${first.what}, and the official tools do not accept that`);
  }
  return doubts.map(({ what }) => `the passphrase is used byte by byte: ${what}`);
}

interface Doubt {
  readonly what: string;
  /** The official tools accept it anyway. */
  readonly isOfficial: boolean;
}

function doubtsAbout(passphrase: Buffer): Doubt[] {
  const isText = isUtf8(passphrase);
  // In other encodings, only ASCII characters can be recognised.
  const text = passphrase.toString(isText ? 'utf8' : 'latin1');
  const doubts: Doubt[] = [];
  if (!isText) {
    doubts.push({
      what: 'it is not UTF-8, so it cannot be typed at most terminals',
      isOfficial: false,
    });
  } else if (text.normalize('NFC') !== text) {
    const what = 'it is not in the normal form NFC, so another keyboard may give different bytes';
    doubts.push({ what, isOfficial: true });
  }
  const controls = isText ? /\p{Cc}/u : /[\0-\x1f\x7f]/;
  if (controls.test(text))
    doubts.push({ what: 'it contains a control character', isOfficial: false });
  if (isText ? /^\s|\s$/u.test(text) : /^ | $/.test(text)) {
    doubts.push({ what: 'it begins or ends with a blank', isOfficial: !/\s$/u.test(text) });
  }
  return doubts;
}
