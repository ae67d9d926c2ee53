import { createHash, createHmac } from 'node:crypto';
import { formatHeader, parseHeader } from '../../dom0-agent/archive/coffer1/coffer1-header.ts';
import { parseHeaderText } from '../../dom0-agent/archive/untrusted-header.ts';
import { parseQubes3Header } from '../../dom0-agent/archive/qubes3/qubes3-header.ts';
import { parseQubes4Header } from '../../dom0-agent/archive/qubes4/qubes4-header.ts';
import {
  memoryFor,
  openScryptFile,
  parseScryptHeader,
  isHeaderAuthentic,
  scryptKeys,
} from '../../dom0-agent/archive/qubes4/scrypt-file.ts';
import { CofferError, DamagedError } from '../../shared/errors.ts';
import { GiB, MiB } from '../../shared/sizes.ts';
import type { Target } from './target.ts';

/** Fuzzed: the headers of all formats, and the files of scrypt in format 4. */
export const HEADER_TARGETS: readonly Target[] = [
  {
    name: 'header',
    sources: [
      'archive/untrusted-header.ts',
      'coffer1/coffer1-header.ts',
      'qubes4/qubes4-header.ts',
      'qubes3/qubes3-header.ts',
    ],
    seeds: () => HEADERS.map((text) => Buffer.from(text)),
    words: [
      '=',
      '\n',
      'True',
      'False',
      'scrypt',
      'format',
      'version',
      'zstd',
      'sha512',
      'kdf-n=',
      'grain=',
      '\0',
    ],
    refusal: CofferError,
    run: (input) => {
      const fields = parseHeaderText(input);
      if (fields.get('format') === 'coffer-1') {
        const text = formatHeader(parseHeader(fields));
        const again = formatHeader(parseHeader(parseHeaderText(text)));
        if (!again.equals(text)) throw new Error('it is not the same again');
      } else if (fields.get('version') === '4') parseQubes4Header(fields);
      else parseQubes3Header(fields);
    },
  },
  {
    name: 'scrypt-file',
    sources: ['qubes4/scrypt-file.ts'],
    seeds: () => [scryptFile('content'), scryptFile(''), scryptFile('c'.repeat(5000))],
    words: ['scrypt\0', Buffer.of(0, 0, 0, 8), Buffer.of(0xff, 0xff, 0xff, 0xff)],
    repair: repairScrypt,
    refusal: DamagedError,
    run: async (input) => {
      const parameters = parseScryptHeader(input, 'a part');
      if (memoryFor(parameters) > 2 * GiB + 64 * MiB) throw new Error('it takes too much memory');
      if (!isHeaderAuthentic(input, KEYS)) throw new DamagedError('a wrong passphrase');
      for (const bytes of await openScryptFile(input, KEYS, 'a part')) bytes.toString();
      const length = input.length - 96 - 32;
      if (!['content', '', 'c'.repeat(5000)].some((each) => each.length === length)) {
        throw new Error('a changed file was taken for authentic');
      }
    },
  },
];

const HEADERS = [
  formatHeader({
    ...{ format: 'coffer-1', kind: 'backup', streamable: true, encrypted: true },
    ...{ backupId: '0'.repeat(32), seriesId: '1'.repeat(32), compressionFilter: 'zstd' },
    ...{ kdf: { n: 2 ** 18, r: 8, p: 1 }, kdfSalt: Buffer.alloc(32) },
    ...{ wrappedKey: Buffer.alloc(64), wrappedKeyMac: Buffer.alloc(64) },
    ...{ grain: 131_072, partSize: 4_194_304 },
  }),
  'version=4\nencrypted=True\ncompressed=True\ncompression-filter=gzip\nhmac-algorithm=scrypt\nbackup-id=20260101T000000-1\n',
  'version=3\nhmac-algorithm=SHA512\ncrypto-algorithm=aes-256-cbc\nencrypted=True\ncompressed=True\ncompression-filter=gzip\n',
];

const KEYS = scryptKeys(Buffer.alloc(64, 7));

/** A file as the scrypt utility makes it, with KEYS, as if they had been derived with its cost and salt. */
function scryptFile(content: string): Buffer {
  const head = Buffer.alloc(64);
  head.write('scrypt\0');
  head.writeUInt8(14, 7);
  head.writeUInt32BE(8, 8);
  head.writeUInt32BE(1, 12);
  const file = Buffer.concat([head, Buffer.alloc(32), Buffer.from(content), Buffer.alloc(32)]);
  const sealed = repairScrypt(file);
  createHmac('sha256', KEYS.mac).update(sealed.subarray(0, 64)).digest().copy(sealed, 64);
  const end = sealed.length - 32;
  createHmac('sha256', KEYS.mac).update(sealed.subarray(0, end)).digest().copy(sealed, end);
  return sealed;
}

/** Corrects the checksum, as an attacker can do without a key. */
function repairScrypt(input: Buffer): Buffer {
  const repaired = Buffer.from(input);
  createHash('sha256').update(repaired.subarray(0, 48)).digest().copy(repaired, 48, 0, 16);
  return repaired;
}
