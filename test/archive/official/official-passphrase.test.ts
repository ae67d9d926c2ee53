import { describe, expect, test } from 'vitest';
import { officialReading } from '../../../dom0-agent/archive/official/official-passphrase.ts';
import { sha256 } from '../official-archives.ts';
import { readAll } from '../official-archives.ts';
import { makeQubes3 } from '../qubes3/make-qubes3.ts';
import { makeQubes4 } from '../qubes4/make-qubes4.ts';

const files = { 'vm1/private.img': 'data' };

describe('a backup that the official tools made with a passphrase file that ends with blanks', () => {
  test.each(['secret ', 'secret\t \u00a0', 'secret\rrest', 'secret\x1f'])(
    'is opened with the same file, whose text for coffer is %j',
    async (passphrase) => {
      for (const archive of [
        makeQubes4({ files, passphrase: 'secret' }),
        makeQubes3({ version: 3, files, passphrase: 'secret', cipher: 'aes-256-cbc' }),
      ]) {
        const read = await readAll(archive, passphrase);
        expect(read.files.get('vm1/private.img')).toBe(sha256('data'));
      }
    },
  );

  test('is opened with the blanks if the passphrase was typed with them', async () => {
    const read = await readAll(makeQubes4({ files, passphrase: 'secret ' }), 'secret ');
    expect(read.files.get('vm1/private.img')).toBe(sha256('data'));
  });
});

test.each([
  ['secret \n'.trimEnd(), undefined],
  [' secret', undefined],
  ['   ', undefined],
  ['one two  ', 'one two'],
  ['line\u2028', 'line'],
  // Python does not count this as a blank.
  ['mark\ufeff', undefined],
])(
  'the official tools read a passphrase file %j as %j if that is another passphrase',
  (passphrase, reading) => {
    expect(officialReading(Buffer.from(passphrase))?.toString()).toBe(reading);
  },
);

test('the official tools read no passphrase that is not UTF-8', () => {
  expect(officialReading(Buffer.from('p\xe9ss ', 'latin1'))).toBeUndefined();
});
