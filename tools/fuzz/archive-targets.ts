import { createHash, createHmac } from 'node:crypto';
import { formatHeader, parseHeader } from '../../dom0-agent/archive/coffer1/coffer1-header.ts';
import { findManifest } from '../../dom0-agent/archive/coffer1/archive-end.ts';
import {
  type Manifest,
  type ManifestMember,
  formatManifest,
  parseManifest,
} from '../../dom0-agent/archive/coffer1/manifest.ts';
import {
  type PartText,
  formatPartText,
  parsePartText,
} from '../../dom0-agent/archive/coffer1/part-text.ts';
import {
  formatPartsTable,
  parsePartsTable,
} from '../../dom0-agent/archive/coffer1/parts-table-text.ts';
import { Runs } from '../../dom0-agent/archive/coffer1/runs.ts';
import {
  type VolumeMap,
  formatMap,
  parseMap,
} from '../../dom0-agent/archive/coffer1/volume-map.ts';
import { parseHeaderText } from '../../dom0-agent/archive/untrusted-header.ts';
import { newSeriesKey } from '../../dom0-agent/archive/coffer1/series-key.ts';
import { forgetList, listedIds } from '../../dom0-agent/archive/coffer1/forget-list.ts';
import { untar } from '../../dom0-agent/archive/tar/inner-reader.ts';
import { joinVolumes } from '../../dom0-agent/archive/tar/multi-volume.ts';
import { OuterTarReader } from '../../dom0-agent/archive/tar/outer-reader.ts';
import { parseQubes3Header } from '../../dom0-agent/archive/qubes3/qubes3-header.ts';
import { parseQubes4Header } from '../../dom0-agent/archive/qubes4/qubes4-header.ts';
import {
  memoryFor,
  openScryptFile,
  parseScryptHeader,
  isHeaderAuthentic,
  scryptKeys,
} from '../../dom0-agent/archive/qubes4/scrypt-file.ts';
import type { ByteSource } from '../../shared/byte-streams.ts';
import { CofferError, DamagedError } from '../../shared/errors.ts';
import { GiB, MiB } from '../../shared/sizes.ts';
import { tarOf } from '../../test/archive/tar/tar-of.ts';
import { VOLUME, makeTarSeeds, repairTar } from './tar-seeds.ts';
import type { Target } from './target.ts';
import { chunks } from './wire-targets.ts';

const tarSeeds = makeTarSeeds();

/** Pieces of inner tars: types, numbers, sparse maps. */
const TAR_WORDS = [
  '0',
  '1',
  '2',
  '5',
  'x',
  'g',
  'L',
  'K',
  'S',
  'M',
  'V',
  '00000000000\0',
  '77777777777\0',
  Buffer.from('800000000000002000000000', 'hex'),
  Buffer.alloc(512),
  'GNU.sparse.major=1\n',
  '22 GNU.sparse.major=1\n',
  '31 GNU.sparse.numblocks=9999999\n',
  '20 size=99999999999\n',
  '12 path=../x',
  '30\n0\n4\n8192\n4\n',
];

export const ARCHIVE_TARGETS: readonly Target[] = [
  {
    name: 'outer-tar',
    sources: [
      'tar/outer-reader.ts',
      'tar/outer-extraction.ts',
      'tar/outer-member.ts',
      'tar/outer-gap.ts',
    ],
    seeds: () => [OUTER_TAR, ...tarSeeds.plain],
    words: [...TAR_WORDS, 'backup-header\0', 'vm5/private.img.000\0', '../', '/etc/'],
    repair: repairTar,
    refusal: DamagedError,
    run: async (input) => {
      const whole = await outcomeOf(() => namesIn(inputOf(input, true)));
      const stream = await outcomeOf(() => namesIn(inputOf(input, false)));
      if (whole !== stream) throw new Error(`as a file ${whole}, as a stream ${stream}`);
      await outcomeOf(() => namesIn(inputOf(input, true), true));
      await namesIn(inputOf(input, false));
    },
  },
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
    name: 'inner-tar',
    sources: [
      'tar/inner-',
      'tar/header-block.ts',
      'tar/pax',
      'shared/old-gnu-sparse.ts',
      'tar/sparse-map.ts',
    ],
    seeds: () => tarSeeds.tars,
    words: TAR_WORDS,
    repair: repairTar,
    refusal: DamagedError,
    run: (input) => readTar(untar(chunks(input, 1000), 'vm5/private.img'), input.length),
  },
  {
    name: 'inner-tar-volumes',
    sources: ['tar/multi-volume.ts'],
    seeds: () => [tarSeeds.volumes],
    words: TAR_WORDS,
    repair: repairTar,
    refusal: DamagedError,
    run: (input) => readTar(untar(joinVolumes(volumesOf(input)), 'vm5/private.img'), input.length),
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
  {
    name: 'manifest',
    sources: ['coffer1/manifest.ts', 'parts/part-name.ts'],
    seeds: () => [MANIFEST],
    words: [
      'series ',
      'made ',
      'member ',
      'parts ',
      'file ',
      'volume ',
      'total ',
      '\n',
      ' ',
      '.000',
      '.001',
      '.1000',
      'qubes.xml.000',
      '0'.repeat(128),
    ],
    refusal: DamagedError,
    run: (input) => {
      if (!formatManifest(parseManifest(input)).equals(input)) {
        throw new Error('it is not the same again');
      }
    },
  },
  {
    name: 'map',
    sources: ['coffer1/volume-map.ts', 'coffer1/runs.ts', 'coffer1/text-lines.ts'],
    seeds: () => [Buffer.concat([...formatMap(MAP)])],
    words: ['size ', 'grain ', 'backup ', 'run ', 'end ', '\n', ' ', '4294967295', '8388608'],
    refusal: DamagedError,
    run: async (input) => {
      const map = await parseMap(piecesOf(input), MAP.path, MAP.grain);
      if (!Buffer.concat([...formatMap(map)]).equals(input)) {
        throw new Error('it is not the same again');
      }
    },
  },
  {
    name: 'table-of-parts',
    sources: ['coffer1/parts-table.ts'],
    seeds: () => [Buffer.from(TABLE)],
    words: [
      'domain ',
      'from ',
      'moved ',
      'trimmed ',
      '01',
      '10',
      'part ',
      'end ',
      '\n',
      ' ',
      '33',
      '4294967295',
    ],
    refusal: DamagedError,
    run: async (input) => {
      const table = await parsePartsTable(piecesOf(input), 4 * MiB);
      if (!Buffer.concat([...formatPartsTable(table)]).equals(input)) {
        throw new Error('it is not the same again');
      }
    },
  },
  {
    name: 'forget-list',
    sources: ['coffer1/forget-list.ts'],
    seeds: () => [FORGET_LIST],
    words: [
      'coffer-1 forget\n',
      'series ',
      'file ',
      'end ',
      'signature ',
      '\n',
      '=',
      'a'.repeat(32),
    ],
    refusal: DamagedError,
    run: (input) => {
      const ids = listedIds(input, SERIES);
      if (ids === undefined) throw new DamagedError('it is no list of this series');
      if (ids.join(' ') !== LISTED.join(' ')) throw new Error('a changed list was believed');
    },
  },
  {
    name: 'text-of-a-part',
    sources: ['coffer1/part-text.ts'],
    seeds: () => [formatPartText(PART_TEXT)],
    words: ['volume ', 'size ', 'domain ', 'part ', 'more', 'last', 'run ', 'end', '\n', ' '],
    refusal: DamagedError,
    run: (input) => {
      const text = formatPartText(parsePartText(input, MAP.grain));
      if (text.length === input.length && !text.equals(input)) {
        throw new Error('it is not the same again');
      }
    },
  },
  {
    name: 'manifest-at-the-end',
    sources: ['coffer1/archive-end.ts'],
    seeds: () => [OUTER_TAR],
    words: ['manifest.000\0', '00000000001\0', Buffer.alloc(512)],
    repair: repairTar,
    refusal: DamagedError,
    run: async (input) => {
      const at = await findManifest(inputOf(input, true), input.length);
      if (at < 0 || at >= input.length || at % 512 !== 0) throw new Error(`found it at ${at}`);
    },
  },
];

/** A series with a signed list of files to delete, and the ids on that list. */
const SERIES = {
  key: newSeriesKey(),
  head: {
    ...{ seriesId: '1'.repeat(32), kdf: { n: 2 ** 14, r: 8, p: 1 }, kdfSalt: Buffer.alloc(32) },
    ...{ wrappedKey: Buffer.alloc(64), wrappedKeyMac: Buffer.alloc(64) },
  },
};
const LISTED = ['a', 'b'].map((digit) => digit.repeat(32));
const FORGET_LIST = forgetList(
  SERIES,
  LISTED.map((backupId) => ({ backupId, size: 7, stored: { untrustedName: 'qubes-backup-1' } })),
  new Date(0),
);

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

const MEMBERS: readonly ManifestMember[] = [
  'backup-header',
  'qubes.xml.000',
  'vm5/notes.txt.000',
  'vm5/private.map.000',
  'parts.000',
  'ids.000',
].map((name, i) => ({ name, size: 100 * i, mac: String(i).repeat(128) }));

const MANIFEST = formatManifest({
  ...{ seriesId: '0'.repeat(32), sequence: 2, made: '2026-11-25T15:42:01Z' },
  previous: { backupId: '1'.repeat(32), mac: 'b'.repeat(128) },
  needs: [
    { backupId: '1'.repeat(32), parts: 2 },
    { backupId: '2'.repeat(32), parts: 7 },
  ],
  holds: [{ backupId: '3'.repeat(32), parts: 1 }],
  ...{ members: MEMBERS, parts: 3, partsBefore: 3, partsLength: 99_328 },
  files: [
    { path: 'qubes.xml', size: 100 },
    { path: 'vm5/notes.txt', size: 7 },
    { path: 'vm5/private.img', size: 2 ** 31, volume: { chunks: 70, parts: 3 } },
  ],
} satisfies Manifest);

const runs = new Runs();
runs.add({ first: 0, count: 32, backup: 0, part: 0, offset: 0 });
runs.add({ first: 40, count: 1, backup: 1, part: 7, offset: 3 });
const MAP: VolumeMap = {
  ...{ path: 'vm5/private.img', size: 2 ** 31 - 1, grain: 131_072, domain: 'roots' },
  origin: '95834ea7-e5da-439f-b3ab-935c91121d26/root',
  ...{ backups: ['0'.repeat(32), '1'.repeat(32)], runs, chunks: 33, digest: 'a'.repeat(64) },
};

const TABLE =
  `coffer-1 parts\ndomain 0 a\ndomain 1 b\nfrom ${'1'.repeat(32)}\nmoved 4 50 2 0\nmoved 9 50 2 0\ntrimmed 12 40 0110001 1\n` +
  'part 100 32 0\npart 7 1 1\npart 9 0 0\nend 6 40 256\n';

const PART_TEXT: PartText = {
  ...{ path: 'vm5/private.img', size: 2 ** 31, domain: 'a', index: 3, last: true },
  runs: [
    { first: 0, count: 3 },
    { first: 9, count: 2 },
  ],
};

async function* piecesOf(bytes: Buffer): AsyncGenerator<Buffer> {
  yield await Promise.resolve(bytes);
}

const OUTER_TAR = await tarOf(
  [...MEMBERS.map(({ name }) => name), 'manifest.000', 'manifest.000.hmac'].map((name, i) => [
    name,
    Buffer.alloc(name.endsWith('.hmac') ? 129 : 100 * i, 'a'),
  ]),
);

async function namesIn(input: ByteSource, canonical = false): Promise<string> {
  await using tar = new OuterTarReader(input, { canonical });
  const names: string[] = [];
  for (let member = await tar.next(); member !== undefined; member = await tar.next()) {
    names.push(member.name);
    if (names.length % 2 === 0) await member.bytes(64 * 1024);
  }
  if (canonical) await tar.behindEnd();
  return names.join();
}

async function outcomeOf(read: () => Promise<string>): Promise<string> {
  try {
    return await read();
  } catch (error) {
    // The messages may differ, because the end of a file is known earlier than that of a stream.
    if (error instanceof DamagedError) return 'refused';
    throw error;
  }
}

/** An input that says truthfully whether it is seekable, and its size. */
function inputOf(bytes: Buffer, seekable: boolean): ByteSource {
  return {
    size: seekable ? bytes.length : undefined,
    seekable,
    read: (from = 0, to = bytes.length) => chunks(bytes.subarray(from, to), 1000),
  };
}

/** Throws unless all data that comes out of a tar is within its files, and no more than went in. */
async function readTar(members: ReturnType<typeof untar>, length: number): Promise<void> {
  let total = 0;
  for await (const { realSize, path, pieces } of members) {
    if (path.split('/').includes('..') || path.startsWith('/')) throw new Error(`it gives ${path}`);
    let end = 0;
    for await (const { offset, bytes } of pieces()) {
      if (offset < end) throw new Error('the pieces do not ascend');
      end = offset + bytes.length;
      if (end > realSize) throw new Error('a piece lies outside the file');
      total += bytes.length;
    }
  }
  if (total > length) throw new Error('more comes out than went in');
}

async function* volumesOf(input: Buffer): AsyncGenerator<AsyncIterable<Buffer>> {
  for (let at = 0; at < input.length; at += VOLUME) {
    yield await Promise.resolve(chunks(input.subarray(at, at + VOLUME), 700));
  }
}

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
