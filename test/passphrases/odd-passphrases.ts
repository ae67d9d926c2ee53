/**
 * Passphrase files that people have, or make by accident. coffer and recover.sh are both tested with this
 * list; the rules are in docs/archive-format.md, "The passphrase".
 */
export interface OddPassphrase {
  readonly what: string;
  /** The content of the passphrase file, one character a byte. */
  readonly file: Buffer;
  /** The passphrase that is read from it. Undefined: such a file can neither make nor open a backup. */
  readonly passphrase: Buffer | undefined;
  /** Whether a backup of coffer's own format is made with it, and opens with the same file in both programs. */
  readonly made: boolean;
  /** The same for `--format qubes-4`: the official tools could take this passphrase. */
  readonly madeForQubes: boolean;
  /** The warning or the refusal when a backup is made. */
  readonly says?: RegExp;
}

/** The longest passphrase that a backup is made with, in bytes; openssl's limit is not much higher. */
export const LONGEST = 1000;

export const ODD_PASSPHRASES: readonly OddPassphrase[] = [
  good('an ordinary line', 'correct horse\n', 'correct horse'),
  good('no line end', 'correct horse', 'correct horse'),
  good('only the first line counts', 'first\nsecond\n', 'first'),
  good('a line end of Windows', 'correct horse\r\n', 'correct horse'),
  good('a carriage return in place of the line end', 'correct horse\r', 'correct horse'),
  good(
    'characters with a meaning for shells and printf',
    '-n %s\\n$(id)`id` "\'*?~#!\n',
    '-n %s\\n$(id)`id` "\'*?~#!',
  ),
  good('a backslash at the end', 'back\\\n', 'back\\'),
  good('UTF-8', utf8('zażółć gęślą jaźń\n'), utf8('zażółć gęślą jaźń')),
  good('UTF-8 beyond 16 bits', utf8('💾 and 🔑\n'), utf8('💾 and 🔑')),
  good(
    'a line separator of Unicode',
    utf8('one\u2028two\u2029three\n'),
    utf8('one\u2028two\u2029three'),
  ),
  good('the longest', `${'x'.repeat(LONGEST)}\n`, 'x'.repeat(LONGEST)),
  good('longer than a block of SHA-256', `${'long '.repeat(40)}end\n`, `${'long '.repeat(40)}end`),
  { ...good('NFD', utf8('cafe\u0301\n'), utf8('cafe\u0301')), says: /normal form/ },
  ours('Latin-1', 'p\xe9ss\n', 'p\xe9ss', /not UTF-8/),
  ours(
    'Windows-1251',
    '\xe7\xe5\xeb\xb8\xed\xfb\xe9 \xf7\xe0\xe9\n',
    '\xe7\xe5\xeb\xb8\xed\xfb\xe9 \xf7\xe0\xe9',
    /not UTF-8/,
  ),
  ours(
    'random bytes',
    '\xff\xfe\x01\xfc\x80\x7f\x1b\n',
    '\xff\xfe\x01\xfc\x80\x7f\x1b',
    /not UTF-8/,
  ),
  ours('an encoded surrogate', 'a\xed\xa0\x80b\n', 'a\xed\xa0\x80b', /not UTF-8/),
  ours('a carriage return within', 'sec\rret\n', 'sec\rret', /control character/),
  ours('two carriage returns at the end', 'secret\r\r\n', 'secret\r', /control character/),
  ours('a tab within', 'sec\tret\n', 'sec\tret', /control character/),
  ours('a space at the end', 'secret \n', 'secret ', /begins or ends with a blank/),
  ours(
    'a no-break space at the end',
    utf8('secret\u00a0\n'),
    utf8('secret\u00a0'),
    /begins or ends with a blank/,
  ),
  ours('blanks only', '   \n', '   ', /begins or ends with a blank/),
  {
    ...good('a space at the beginning', ' secret\n', ' secret'),
    says: /begins or ends with a blank/,
  },
  refused('a byte order mark', '\xef\xbb\xbfsecret\n', /byte order mark/, '\xef\xbb\xbfsecret'),
  refused(
    'one byte too long',
    `${'x'.repeat(LONGEST + 1)}\n`,
    /1000 bytes/,
    'x'.repeat(LONGEST + 1),
  ),
  refused('64 KiB', `${'y'.repeat(65_536)}\n`, /1000 bytes/),
  refused('a NUL', 'sec\0ret\n', /NUL/),
  refused('UTF-16', '\xff\xfes\0e\0c\0\n\0', /NUL/),
  refused('an empty file', '', /empty/),
  refused('an empty line', '\nsecret\n', /empty/),
];

type Words = string | Buffer;

/** Backups of both formats are made with it. */
function good(what: string, file: Words, passphrase: Words): OddPassphrase {
  return { what, file: bytes(file), passphrase: bytes(passphrase), made: true, madeForQubes: true };
}

/** Only backups in coffer's own format are made with it. */
function ours(what: string, file: Words, passphrase: Words, says: RegExp): OddPassphrase {
  return { ...good(what, file, passphrase), madeForQubes: false, says };
}

/** No backup is made with it; if `passphrase` is given, another tool's backup can be opened with it. */
function refused(what: string, file: Words, says: RegExp, passphrase?: Words): OddPassphrase {
  const counts = passphrase === undefined ? undefined : bytes(passphrase);
  return { what, file: bytes(file), passphrase: counts, made: false, madeForQubes: false, says };
}

function utf8(text: string): Buffer {
  return Buffer.from(text);
}

function bytes(words: Words): Buffer {
  return typeof words === 'string' ? Buffer.from(words, 'latin1') : words;
}
