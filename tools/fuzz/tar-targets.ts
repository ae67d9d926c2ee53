import { findManifest } from '../../dom0-agent/archive/coffer1/archive-end.ts';
import { untar } from '../../dom0-agent/archive/tar/inner-reader.ts';
import { joinVolumes } from '../../dom0-agent/archive/tar/multi-volume.ts';
import { OuterTarReader } from '../../dom0-agent/archive/tar/outer-reader.ts';
import type { ByteSource } from '../../shared/byte-streams.ts';
import { DamagedError } from '../../shared/errors.ts';
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

/** Fuzzed: the readers of tars. */
export const TAR_TARGETS: readonly Target[] = [
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
    name: 'manifest-at-the-end',
    sources: ['coffer1/archive-end.ts'],
    seeds: () => [OUTER_TAR],
    words: ['manifest.000\0', '00000000001\0', Buffer.alloc(512)],
    repair: repairTar,
    refusal: DamagedError,
    run: async (input) => {
      const { from, size } = await findManifest(inputOf(input, true), input.length);
      const isInside = from >= 0 && size >= 0 && from + 512 + size <= input.length;
      if (!isInside || from % 512 !== 0) throw new Error(`found it at ${from}`);
    },
  },
];

/** The members of a small archive of coffer-1. */
export const MEMBER_NAMES = [
  'backup-header',
  'qubes.xml.000',
  'vm5/notes.txt.000',
  'vm5/private.map.000',
  'parts.000',
  'ids.000',
];

const OUTER_TAR = await tarOf(
  [...MEMBER_NAMES, 'manifest.000', 'manifest.000.hmac'].map((name, i) => [
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
