import { isUtf8 } from 'node:buffer';
import { RefusedError } from '../../shared/errors.ts';
import type { BackupFormat } from './backup-formats.ts';

/** In bytes. openssl, with which recover.sh derives the key, reads 1023 at most. */
const LONGEST_PASSPHRASE = 1000;

const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);

/**
 * Throws RefusedError for a passphrase with which no backup is made in this format, since not every reader
 * could take it: docs/archive-format.md, "The passphrase". Gives a warning for each thing in it by which
 * the same passphrase, typed elsewhere, may be another one.
 */
export function checkNewPassphrase(passphrase: Buffer, format: BackupFormat): string[] {
  const refuse = (why: string): never => {
    throw new RefusedError(`this passphrase is not taken for a backup: ${why}`);
  };
  if (passphrase.length > LONGEST_PASSPHRASE) refuse('it has more than 1000 bytes');
  if (passphrase.includes(0)) refuse('it holds a NUL byte');
  if (passphrase.subarray(0, 3).equals(BYTE_ORDER_MARK)) {
    refuse('its file begins with a byte order mark, which an editor put there: save it without');
  }
  const doubts = doubtsAbout(passphrase);
  const [first] = doubts.filter(({ isOfficial }) => !isOfficial);
  if (format === 'qubes-4' && first !== undefined) {
    refuse(`${first.what}, and the official tools cannot take that`);
  }
  return doubts.map(({ what }) => `the passphrase counts byte by byte: ${what}`);
}

interface Doubt {
  readonly what: string;
  /** The official tools take it all the same. */
  readonly isOfficial: boolean;
}

function doubtsAbout(passphrase: Buffer): Doubt[] {
  const isText = isUtf8(passphrase);
  // Of other encodings, the ASCII characters tell.
  const text = passphrase.toString(isText ? 'utf8' : 'latin1');
  const doubts: Doubt[] = [];
  if (!isText) {
    doubts.push({ what: 'it is not UTF-8, so most terminals cannot give it', isOfficial: false });
  } else if (text.normalize('NFC') !== text) {
    const what = 'it is not in the normal form NFC, so another keyboard may give other bytes';
    doubts.push({ what, isOfficial: true });
  }
  const controls = isText ? /\p{Cc}/u : /[\0-\x1f\x7f]/;
  if (controls.test(text)) doubts.push({ what: 'it holds a control character', isOfficial: false });
  if (isText ? /^\s|\s$/u.test(text) : /^ | $/.test(text)) {
    doubts.push({ what: 'it begins or ends with a blank', isOfficial: !/\s$/u.test(text) });
  }
  return doubts;
}
