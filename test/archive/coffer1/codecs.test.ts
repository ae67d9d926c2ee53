import fc from 'fast-check';
import { countBits } from '../../../dom0-agent/archive/coffer1/chunk-mask.ts';
import { describe, expect, it } from 'vitest';
import { parseHeaderText } from '../../../dom0-agent/archive/untrusted-header.ts';
import {
  type Coffer1Header,
  cutFor,
  formatHeader,
  parseHeader,
} from '../../../dom0-agent/archive/coffer1/coffer1-header.ts';
import {
  type Manifest,
  formatManifest,
  parseManifest,
} from '../../../dom0-agent/archive/coffer1/manifest.ts';
import {
  type ChunkRun,
  type PartText,
  formatPartText,
  parsePartText,
} from '../../../dom0-agent/archive/coffer1/part-text.ts';
import { PartsTable, type TablePart } from '../../../dom0-agent/archive/coffer1/parts-table.ts';
import {
  formatPartsTable,
  parsePartsTable,
} from '../../../dom0-agent/archive/coffer1/parts-table-text.ts';
import { NeededChunks } from '../../../dom0-agent/archive/coffer1/needed-chunks.ts';
import { type Run, Runs } from '../../../dom0-agent/archive/coffer1/runs.ts';
import {
  type VolumeMap,
  formatMap,
  parseMap,
} from '../../../dom0-agent/archive/coffer1/volume-map.ts';
import { DamagedError } from '../../../shared/errors.ts';
import { KiB, MiB, TiB } from '../../../shared/sizes.ts';

const GRAIN = 128 * KiB;
const hex = (bytes: number) =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((each) => Buffer.from(each));
const id = hex(16).map((bytes) => bytes.toString('hex'));
const path = fc.constantFrom('vm5/private.img', 'vm12/root.img');
const domain = fc.stringMatching(/^[!-~]{1,40}$/);
/** Lines of a table of parts that name the same file twice. */
const TWICE = ['1', '2', '1'].map((digit) => `from ${digit.repeat(32)}\nmoved 1 1 1 0`).join('\n');

const ONE = { backupId: '1'.repeat(32), parts: 1 };
const OTHER = { backupId: '2'.repeat(32), parts: 1 };
const NAMED = { backupId: '3'.repeat(32), mac: '0'.repeat(128) };
const EMPTY: Manifest = {
  ...{ seriesId: '0'.repeat(32), sequence: 1, made: '2026-11-25T15:42:01Z', previous: undefined },
  ...{ needs: [], holds: [], members: [], parts: 0, partsBefore: 0, partsLength: 0, files: [] },
};

/** Runs that ascend, with gaps so that no two of them touch. */
const chunkRuns = fc
  .array(
    fc.record({ gap: fc.integer({ min: 1, max: 50 }), count: fc.integer({ min: 1, max: 4 }) }),
    {
      maxLength: 8,
    },
  )
  .map((steps) => {
    let next = -1;
    return steps.map(({ gap, count }): ChunkRun => {
      const first = next + gap;
      next = first + count;
      return { first, count };
    });
  });

async function* piecesOf(bytes: Buffer, length: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += length) {
    yield await Promise.resolve(bytes.subarray(at, at + length));
  }
}

/** `text` with each of its lines left out, doubled and changed, and cut short. */
function* mutilated(text: string): Generator<string> {
  const lines = text.split('\n');
  for (const [place, line] of lines.slice(0, -1).entries()) {
    yield lines.toSpliced(place, 1).join('\n');
    yield lines.toSpliced(place, 0, line).join('\n');
    yield lines.with(place, `${line} `).join('\n');
    yield lines.with(place, line.replace(/ ([0-9]+)/, ' 0$1')).join('\n');
    yield lines
      .with(
        place,
        line.replace(/([0-9])$/, (digit) => `${(Number(digit) + 1) % 10}`),
      )
      .join('\n');
  }
  yield text.slice(0, -1);
  yield `${text}\n`;
  yield '';
}

describe('the text of a part', () => {
  const part: fc.Arbitrary<PartText> = fc.record({
    ...{ path, domain, index: fc.nat(), last: fc.boolean(), runs: chunkRuns },
    size: fc.constant(500 * GRAIN - 1),
  });

  it('is read as it was written, and is always 4 KiB long', () => {
    fc.assert(
      fc.property(part, (text) => {
        const block = formatPartText(text);
        expect(block).toHaveLength(4 * KiB);
        expect(parsePartText(block, GRAIN)).toEqual(text);
      }),
    );
  });

  it('is refused if it names chunks that the volume does not have, too many chunks, or a chunk twice', () => {
    const text = { path: 'vm5/private.img', size: 40 * GRAIN, domain: 'd', index: 0, last: true };
    for (const runs of [
      [{ first: 40, count: 1 }],
      [{ first: 0, count: 33 }],
      [{ first: 3, count: 0 }],
      [
        { first: 0, count: 2 },
        { first: 1, count: 1 },
      ],
      [
        { first: 0, count: 2 },
        { first: 2, count: 1 },
      ],
    ]) {
      const block = formatPartText({ ...text, runs });
      expect(() => parsePartText(block, GRAIN), JSON.stringify(runs)).toThrow(DamagedError);
    }
  });
});

describe('a map', () => {
  const map: fc.Arbitrary<VolumeMap> = fc
    .tuple(chunkRuns, fc.uniqueArray(id, { minLength: 1, maxLength: 3 }), hex(32), domain, domain)
    .map(([places, ids, digest, domain, origin]) => {
      const runs = new Runs();
      for (const [place, { first, count }] of places.entries()) {
        runs.add({ first, count, backup: place % ids.length, part: 7 * place, offset: place });
      }
      return {
        ...{ path: 'vm5/private.img', size: 500 * GRAIN - 7, grain: GRAIN, domain, origin, runs },
        backups: ids.slice(0, places.length),
        chunks: places.reduce((sum, { count }) => sum + count, 0),
        digest: digest.toString('hex'),
      };
    });
  const textOf = (each: VolumeMap): Buffer => Buffer.concat([...formatMap(each)]);
  const parse = (text: Buffer, length = 100): Promise<VolumeMap> =>
    parseMap(piecesOf(text, length), 'vm5/private.img', GRAIN);

  it('is read as it was written, in pieces of any length', async () => {
    await fc.assert(
      fc.asyncProperty(map, fc.integer({ min: 1, max: 300 }), async (each, length) => {
        const read = await parse(textOf(each), length);
        expect([...read.runs]).toEqual([...each.runs]);
        expect({ ...read, runs: 0 }).toEqual({ ...each, runs: 0 });
      }),
    );
  });

  it('is refused if it names a part that no file can have, for whose number there would be no room', async () => {
    const naming = (part: number): Buffer => {
      const runs = new Runs();
      runs.add({ first: 0, count: 1, backup: 0, part, offset: 0 });
      return textOf({
        ...{ path: 'vm5/private.img', size: GRAIN, grain: GRAIN, domain: 'd', origin: 'd', runs },
        ...{ backups: ['0'.repeat(32)], chunks: 1, digest: '0'.repeat(64) },
      });
    };
    const largest = await parse(naming(2 ** 23 - 1));
    const needed = new NeededChunks();
    needed.add(largest);
    expect([...needed.parts()]).toHaveLength(1);
    for (const part of [2 ** 23, 2 ** 32 - 1]) {
      await expect(parse(naming(part))).rejects.toThrow(DamagedError);
    }
  });

  it('is refused in any form but the one that coffer writes', async () => {
    await fc.assert(
      fc.asyncProperty(map, async (each) => {
        const text = textOf(each).toString();
        for (const bad of mutilated(text)) {
          const read = await parse(Buffer.from(bad)).catch((error: unknown) => error);
          // A changed digit may make another valid map: that one, too, must be in the only form that it has.
          if (read instanceof Error) expect(read, bad).toBeInstanceOf(DamagedError);
          else expect(textOf(read as VolumeMap).toString(), bad).toBe(bad);
        }
      }),
      { numRuns: 20 },
    );
  });

  it('joins adjacent runs, and is refused if they are not joined', async () => {
    const runs = new Runs();
    const run: Run = { first: 3, count: 2, backup: 0, part: 4, offset: 1 };
    runs.add(run);
    runs.add({ ...run, first: 5, offset: 3 });
    expect([...runs]).toEqual([{ ...run, count: 4 }]);
    const head = `coffer-1 map\nvolume vm5/private.img\nsize ${500 * GRAIN}\ngrain ${GRAIN}\ndomain d\norigin o\n`;
    const text = `${head}backup 0 ${'0'.repeat(32)}\nrun 3 2 0 4 1\nrun 5 2 0 4 3\nend 2 4 ${'0'.repeat(64)}\n`;
    await expect(parse(Buffer.from(text))).rejects.toThrow(DamagedError);
  });

  it('can hold runs at the highest positions that exist', () => {
    const runs = new Runs();
    const extremes: Run[] = [
      { first: 0, count: 32, backup: 0, part: 2 ** 32 - 1, offset: 0 },
      { first: 8_388_600, count: 1, backup: 65_535, part: 0, offset: 31 },
    ];
    for (const run of extremes) runs.add(run);
    expect([...runs]).toEqual(extremes);
  });
});

describe('a table of parts', () => {
  const rows = fc.array(
    fc.record({
      size: fc.nat(4 * MiB),
      chunks: fc.nat(32),
      domain: fc.constantFrom('a', 'b', 'c'),
    }),
    { maxLength: 100 },
  );
  const moved = fc.uniqueArray(
    fc.record({
      backupId: id,
      numbers: fc.uniqueArray(fc.nat(2 ** 23 - 1), { minLength: 1, maxLength: 9 }),
    }),
    { maxLength: 3, selector: ({ backupId }) => backupId },
  );
  type Moved = { backupId: string; numbers: number[] }[];
  const tableOf = (parts: TablePart[], from: Moved = []): PartsTable => {
    const table = new PartsTable();
    for (const { backupId, numbers } of from) {
      for (const number of numbers.toSorted((one, other) => one - other)) {
        const [size, mask] = [number % 999, number * 997];
        const isTrimmed = number % 2 === 1;
        const chunks = isTrimmed ? countBits(mask) : number % 33;
        table.addMoved(
          backupId,
          number,
          { size, chunks, domain: 'm' },
          isTrimmed ? mask >>> 0 : undefined,
        );
      }
    }
    for (const part of parts) table.add(part);
    return table;
  };
  const textOf = (table: PartsTable): Buffer => Buffer.concat([...formatPartsTable(table)]);

  it('is read as it was written', async () => {
    await fc.assert(
      fc.asyncProperty(rows, async (parts) => {
        const text = textOf(tableOf(parts));
        const read = await parsePartsTable(piecesOf(text, 50), 4 * MiB);
        expect(parts.map((_, part) => read.at(part))).toMatchObject(parts);
        expect(textOf(read).equals(text)).toBe(true);
      }),
    );
  });

  it('says in which file each part was first stored, and finds the part by that', async () => {
    await fc.assert(
      fc.asyncProperty(rows, moved, async (parts, from) => {
        const text = textOf(tableOf(parts, from));
        const read = await parsePartsTable(piecesOf(text, 50), 4 * MiB);
        expect(textOf(read).equals(text)).toBe(true);
        expect(read.own).toBe(parts.length);
        for (const row of Array(read.length).keys()) {
          const { bornIn, number, mask, chunks } = read.at(row);
          expect(read.rowOf(bornIn, number)).toBe(row);
          expect(countBits(mask)).toBe(chunks);
          for (let place = 0; place < 32; place++) {
            expect(read.holds(row, place, 1)).toBe(((mask >>> place) & 1) === 1);
          }
        }
        for (const { backupId, numbers } of from) {
          for (const number of numbers) expect(read.rowOf(backupId, number)).toBeDefined();
          expect(read.rowOf(backupId, 2 ** 23)).toBeUndefined();
        }
        expect(read.rowOf(undefined, parts.length)).toBeUndefined();
        expect(read.rowOf('f'.repeat(32), 0)).toBeUndefined();
      }),
    );
  });

  it.each([
    ['a file that no part comes from', `from ${'1'.repeat(32)}\nend 0 0 0`],
    ['the same file twice', TWICE],
    ['parts out of order', `from ${'1'.repeat(32)}\nmoved 5 1 1 0\nmoved 4 1 1 0\nend 2 2 2`],
    ['parts that come from no file', 'moved 5 1 1 0\nend 1 1 1'],
    ['trimmed parts that come from no file', 'trimmed 5 1 01 0\nend 1 1 1'],
    ...['', '0', '10', '2', `${'1'.repeat(32)}1`].map((mask): [string, string] => [
      `a trimmed part with the mask "${mask}"`,
      `from ${'1'.repeat(32)}\ntrimmed 5 1 ${mask} 0\nend 1 1 1`,
    ]),
    [
      'parts of other files after its own',
      `part 1 1 0\nfrom ${'1'.repeat(32)}\nmoved 5 1 1 0\nend 2 2 2`,
    ],
    ['a part number that is too large', `from ${'1'.repeat(32)}\nmoved 8388608 1 1 0\nend 1 1 1`],
  ])('is refused with %s', async (_, lines) => {
    const text = Buffer.from(`coffer-1 parts\ndomain 0 a\n${lines}\n`);
    await expect(parsePartsTable(piecesOf(text, 50), 4 * MiB)).rejects.toThrow(DamagedError);
  });

  it('is refused in any form but the one that coffer writes', async () => {
    const from = [{ backupId: 'a'.repeat(32), numbers: [3, 8] }];
    const parts = [
      { size: 7, chunks: 1, domain: 'a' },
      { size: 8, chunks: 2, domain: 'b' },
      { size: 9, chunks: 3, domain: 'a' },
    ];
    const text = textOf(tableOf(parts, from)).toString();
    for (const bad of mutilated(text)) {
      const parsing = parsePartsTable(piecesOf(Buffer.from(bad), 9), 4 * MiB);
      const read = await parsing.catch((error: unknown) => error);
      // A changed digit may make another valid table.
      if (read instanceof PartsTable) expect(textOf(read).toString()).toBe(bad);
      else expect(read, bad).toBeInstanceOf(DamagedError);
    }
    const larger = parsePartsTable(piecesOf(Buffer.from(text), 9), 8);
    await expect(larger).rejects.toThrow(DamagedError);
  });
});

describe('a manifest', () => {
  const size = fc.nat(4 * MiB);
  const member = fc.record({
    name: fc.constantFrom('backup-header', 'qubes.xml.000', 'vm5/private.map.000', 'ids.000'),
    size,
    mac: hex(64).map((bytes) => bytes.toString('hex')),
  });
  const file = fc.oneof(
    fc.record({ path: fc.constant('qubes.xml'), size }),
    fc.record({ path, size, volume: fc.record({ chunks: fc.nat(), parts: fc.nat() }) }),
  );
  const mac = hex(64).map((bytes) => bytes.toString('hex'));
  const born = fc
    .uniqueArray(fc.record({ backupId: id, parts: fc.integer({ min: 1, max: 2 ** 23 }) }), {
      ...{ maxLength: 4, selector: ({ backupId }) => backupId },
    })
    .map((files) => files.sort((one, other) => (one.backupId < other.backupId ? -1 : 1)));
  const place = fc.oneof(
    fc.constant({ sequence: 1, previous: undefined }),
    fc.record({
      sequence: fc.integer({ min: 2, max: 2 ** 40 }),
      previous: fc.record({ backupId: id, mac }),
    }),
  );
  const manifest: fc.Arbitrary<Manifest> = fc
    .tuple(
      place,
      fc.record({
        ...{ seriesId: id, made: fc.constant('2026-11-25T15:42:01Z'), needs: born, holds: born },
        ...{ members: fc.array(member, { maxLength: 9 }), parts: fc.nat(), partsLength: fc.nat() },
        files: fc.array(file, { maxLength: 9 }),
      }),
    )
    .map(([where, rest]): Omit<Manifest, 'partsBefore'> => ({ ...where, ...rest }))
    .chain((rest) => fc.record({ ...mapValues(rest), partsBefore: fc.nat(rest.members.length) }));

  it('is read as it was written', () => {
    fc.assert(
      fc.property(manifest, (each) => {
        expect(parseManifest(formatManifest(each))).toEqual(each);
      }),
    );
  });

  it('is refused in any form but the one that coffer writes', () => {
    fc.assert(
      fc.property(manifest, (each) => {
        const text = formatManifest(each).toString();
        for (const bad of mutilated(text)) {
          let read: Manifest;
          try {
            read = parseManifest(Buffer.from(bad));
          } catch (error) {
            expect(error, bad).toBeInstanceOf(DamagedError);
            continue;
          }
          expect(formatManifest(read).toString()).toBe(bad);
        }
      }),
      { numRuns: 20 },
    );
  });
});

it.each([
  ['is the first of its series and names a previous one', { sequence: 1, previous: NAMED }],
  ['is not the first and names no previous one', { sequence: 2 }],
  ['has the number 0', { sequence: 0 }],
  ['lists a file that it needs twice', { needs: [ONE, ONE] }],
  ['lists the files that it needs in the wrong order', { needs: [OTHER, ONE] }],
  ['lists a file whose parts it holds twice', { holds: [ONE, ONE] }],
  ['lists a file of which it needs no part', { needs: [{ ...ONE, parts: 0 }] }],
])('a manifest is refused if it %s', (_, lie) => {
  const text = formatManifest({ ...EMPTY, ...lie });
  expect(() => parseManifest(text)).toThrow(DamagedError);
  expect(parseManifest(formatManifest(EMPTY))).toEqual(EMPTY);
});

describe('a header', () => {
  const what: fc.Arbitrary<Pick<Coffer1Header, 'kind' | 'streamable'>> = fc.oneof(
    fc.record({ kind: fc.constant('backup' as const), streamable: fc.boolean() }),
    fc.record({ kind: fc.constantFrom('data', 'pack'), streamable: fc.constant(false) }),
  );
  const rest = fc.record({
    format: fc.constant('coffer-1' as const),
    ...{ backupId: id, seriesId: id, encrypted: fc.boolean() },
    compressionFilter: fc.constantFrom('zstd' as const, 'gzip' as const, undefined),
    kdf: fc.constantFrom({ n: 2 ** 14, r: 8, p: 1 }, { n: 2 ** 21, r: 8, p: 1 }),
    ...{ kdfSalt: hex(32), wrappedKey: hex(64), wrappedKeyMac: hex(64) },
    grain: fc.constantFrom(64 * KiB, 128 * KiB, MiB),
    partSize: fc.constantFrom(MiB, 2 * MiB),
  });
  const header: fc.Arbitrary<Coffer1Header> = fc
    .tuple(what, rest)
    .map(([one, other]) => ({ ...one, ...other }));

  it('is read as it was written', () => {
    fc.assert(
      fc.property(header, (each) => {
        expect(parseHeader(parseHeaderText(formatHeader(each)))).toEqual(each);
      }),
    );
  });

  it.each([
    ['grain', '98304'],
    ['grain', '32768'],
    ['grain', '33554432'],
    ['part-size', '65536'],
    ['part-size', '8388608'],
    ['part-size', '200000'],
    ['kdf-n', '8192'],
    ['kdf-n', '4194304'],
    ['kdf-n', '100000'],
    ['kdf-r', '16'],
    ['compression-filter', 'xz'],
    ['kind', 'index'],
    ['series-key', 'ab'],
    ['encrypted', 'true'],
  ])('is refused with %s=%s', (key, value) => {
    const [sound] = fc.sample(header, 1);
    if (sound === undefined) throw new Error('no sample');
    const text = formatHeader({ ...sound, grain: 128 * KiB, partSize: MiB }).toString();
    const bad = text.replace(new RegExp(`^${key}=.*$`, 'm'), `${key}=${value}`);
    expect(bad).not.toBe(text);
    expect(() => parseHeader(parseHeaderText(Buffer.from(bad)))).toThrow(DamagedError);
  });

  it.each(['data', 'pack'] as const)(
    'is refused if it says that a file of the kind %s can be streamed',
    (kind) => {
      const [sound] = fc.sample(header, 1);
      if (sound === undefined) throw new Error('no sample');
      const bad = formatHeader({ ...sound, kind, streamable: true });
      expect(() => parseHeader(parseHeaderText(bad))).toThrow(DamagedError);
    },
  );

  it('makes chunks larger for a larger volume, so that there are never too many', () => {
    expect(cutFor(0)).toEqual({ grain: 128 * KiB, partSize: 4 * MiB });
    expect(cutFor(TiB).grain).toBe(128 * KiB);
    expect(cutFor(TiB + 1).grain).toBe(256 * KiB);
    expect(cutFor(100 * TiB)).toEqual({ grain: 16 * MiB, partSize: 16 * MiB });
    expect(() => cutFor(129 * TiB)).toThrow(RangeError);
  });
});

function mapValues<T extends object>(values: T): { [K in keyof T]: fc.Arbitrary<T[K]> } {
  return Object.fromEntries(
    Object.entries(values).map(([key, value]) => [key, fc.constant(value)]),
  ) as { [K in keyof T]: fc.Arbitrary<T[K]> };
}
