import { describe, expect, test } from 'vitest';
import { officialReading } from '../../../dom0-agent/archive/official/official-passphrase.ts';
import { sha256 } from '../official-archives.ts';
import { readAll } from '../official-archives.ts';
import { makeQubes3 } from '../qubes3/make-qubes3.ts';
import { makeQubes4 } from '../qubes4/make-qubes4.ts';

const files = { 'vm1/private.img': 'data' };

describe('a backup made by the official tools from a passphrase file with blanks at its end', () => {
  test.each(['secret ', 'secret\t \u00a0', 'secret\rrest', 'secret\x1f'])(
    'is opened with the same file, which coffer reads as %j',
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
  // Not blank to Python.
  ['mark\ufeff', undefined],
])('the official tools read %j as %j', (passphrase, reading) => {
  expect(officialReading(Buffer.from(passphrase))?.toString()).toBe(reading);
});

test('the official tools cannot read what is not UTF-8', () => {
  expect(officialReading(Buffer.from('p\xe9ss ', 'latin1'))).toBeUndefined();
});
