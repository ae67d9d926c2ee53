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
import { newSeriesKey } from '../../dom0-agent/archive/coffer1/series-key.ts';
import { forgetList, listedIds } from '../../dom0-agent/archive/coffer1/forget-list.ts';
import { DamagedError } from '../../shared/errors.ts';
import { MiB } from '../../shared/sizes.ts';
import { MEMBER_NAMES } from './tar-targets.ts';
import type { Target } from './target.ts';

/** Fuzzed: the texts in an archive of coffer-1. */
export const COFFER1_TARGETS: readonly Target[] = [
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

const MEMBERS: readonly ManifestMember[] = MEMBER_NAMES.map((name, i) => ({
  name,
  size: 100 * i,
  mac: String(i).repeat(128),
}));

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
