import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bits, countBits } from '../../dom0-agent/archive/coffer1/chunk-mask.ts';
import { NeededChunks } from '../../dom0-agent/archive/coffer1/needed-chunks.ts';
import { type PartsFile, planPacks } from '../../dom0-agent/forget/plan-packs.ts';
import { packFiles } from '../../dom0-agent/forget/plan-pack-files.ts';
import type { PrunedFile } from '../../dom0-agent/forget/plan-prune.ts';
import { PartsTable } from '../../dom0-agent/archive/coffer1/parts-table.ts';
import { type Run, Runs } from '../../dom0-agent/archive/coffer1/runs.ts';
import { DamagedError } from '../../shared/errors.ts';
import { MiB } from '../../shared/sizes.ts';

/** The fields of a map that matter here. */
function mapOf(backups: readonly string[], ...all: Omit<Run, 'first'>[]) {
  const runs = new Runs();
  let first = 0;
  for (const run of all) {
    runs.add({ ...run, first });
    first += run.count + 1;
  }
  return { backups, runs };
}

describe('needed chunks', () => {
  it('are those that any map refers to, in parts of any file', () => {
    const live = new NeededChunks();
    live.add(
      mapOf(
        ['a', 'b'],
        { count: 3, backup: 0, part: 7, offset: 1 },
        { count: 32, backup: 1, part: 100_000, offset: 0 },
      ),
    );
    live.add(mapOf(['b', 'a'], { count: 2, backup: 1, part: 7, offset: 3 }));
    expect(live.of('a', 7)).toBe(0b11110);
    expect(live.of('b', 100_000)).toBe(0xffff_ffff);
    expect([live.of('a', 6), live.of('c', 0), live.of('b', 7)]).toEqual([0, 0, 0]);
    expect([...live.parts()]).toEqual([
      { bornIn: 'a', part: 7, mask: 0b11110 },
      { bornIn: 'b', part: 100_000, mask: 0xffff_ffff },
    ]);
  });

  it('are the union of the chunks in all runs of all maps', () => {
    const run = fc
      .record({
        count: fc.integer({ min: 1, max: 32 }),
        backup: fc.nat(2),
        part: fc.nat(200),
        from: fc.nat(31),
      })
      .map(({ count, from, ...rest }) => ({ ...rest, count, offset: from % (33 - count) }));
    fc.assert(
      fc.property(fc.array(fc.array(run, { maxLength: 30 }), { maxLength: 5 }), (maps) => {
        const live = new NeededChunks();
        const expected = new Map<string, Set<number>>();
        for (const runs of maps) {
          live.add(mapOf(['x', 'y', 'z'], ...runs));
          for (const { backup, part, offset, count } of runs) {
            const key = `${['x', 'y', 'z'][backup] ?? ''} ${part}`;
            const chunks = expected.get(key) ?? new Set();
            expected.set(key, chunks);
            for (let i = 0; i < count; i++) chunks.add(offset + i);
          }
        }
        const found = [...live.parts()].map(({ bornIn, part }) => `${bornIn} ${part}`);
        expect(found.sort()).toEqual([...expected.keys()].sort());
        for (const [key, chunks] of expected) {
          const [bornIn = '', part] = key.split(' ');
          const mask = live.of(bornIn, Number(part));
          expect(countBits(mask)).toBe(chunks.size);
          for (const chunk of chunks) expect((mask & bits(chunk, 1)) >>> 0).toBe(bits(chunk, 1));
        }
      }),
    );
  });
});

interface TestFile extends PartsFile {
  readonly name: string;
}

/** A file with parts of a megabyte in 8 chunks; `elsewhere` are parts that were first stored in other files. */
function file(
  name: string,
  own: number,
  {
    fate = 'open',
    elsewhere = [],
  }: Partial<Pick<PartsFile, 'fate'> & { elsewhere: readonly (readonly [string, number])[] }> = {},
): TestFile {
  const table = new PartsTable();
  const part = { size: 1_000_000, chunks: 8, domain: 'd' };
  for (const [bornIn, number] of elsewhere) table.addMoved(bornIn, number, part);
  for (let i = 0; i < own; i++) table.add(part);
  const parts = Array.from({ length: table.length }, (_, row) => table.at(row));
  return { name, backupId: name, fate, parts };
}

/** Needed chunks, each as [file, part, how many from the first on]. */
function liveOf(...parts: readonly (readonly [string, number, number])[]): NeededChunks {
  const live = new NeededChunks();
  for (const [name, part, count] of parts) {
    live.add(mapOf([name], { count, backup: 0, part, offset: 0 }));
  }
  return live;
}

function planOf(files: readonly TestFile[], live: NeededChunks) {
  const { going, packed, replacing } = planPacks(files, live);
  const key = ({ file, bornIn, number }: (typeof packed)[number]): string =>
    `${bornIn}.${number} in ${file.name}`;
  return {
    going: going.map(({ name }) => name),
    packed: packed.map(key),
    replacing: replacing.map(key),
  };
}

describe('the plan of packs', () => {
  it('deletes a file of which nothing is needed, and keeps one of which most is needed', () => {
    const files = [
      file('dead', 4),
      file('empty', 0),
      file('most', 4),
      file('kept', 2, { fate: 'stays' }),
    ];
    const live = liveOf(
      ['most', 0, 8],
      ['most', 1, 8],
      ['most', 2, 8],
      ['most', 3, 4],
      ['kept', 0, 8],
    );
    expect(planOf(files, live)).toEqual({ going: ['dead', 'empty'], packed: [], replacing: [] });
  });

  it('moves the needed parts of a file of which less than 85 % is needed', () => {
    const files = [file('some', 10), file('kept', 1, { fate: 'stays' })];
    const live = liveOf(['some', 3, 1], ['some', 5, 8], ['kept', 0, 8]);
    expect(planOf(files, live)).toEqual({
      going: ['some'],
      packed: ['some.3 in some', 'some.5 in some'],
      replacing: [],
    });
  });

  it('deletes a forgotten backup, however much of it is needed', () => {
    expect(planOf([file('forgotten', 1, { fate: 'goes' })], liveOf(['forgotten', 0, 8]))).toEqual({
      going: ['forgotten'],
      packed: ['forgotten.0 in forgotten'],
      replacing: [],
    });
  });

  it('never deletes a backup that is kept, however little of its parts is needed', () => {
    expect(planOf([file('kept', 9, { fate: 'stays' })], liveOf()).going).toEqual([]);
  });

  it('moves parts out of an older pack as from any other file', () => {
    const pack = file('pack', 0, {
      elsewhere: [
        ['gone', 2],
        ['gone', 7],
        ['other', 1],
      ],
    });
    expect(planOf([pack], liveOf(['gone', 7, 8]))).toEqual({
      going: ['pack'],
      packed: ['gone.7 in pack'],
      replacing: [],
    });
  });

  it('uses a pack that an interrupted prune has left, and has its parts authenticated', () => {
    const old = file('old', 6);
    const pack = file('pack', 0, {
      elsewhere: [
        ['old', 1],
        ['old', 4],
      ],
    });
    expect(planOf([old, pack], liveOf(['old', 1, 8], ['old', 4, 8]))).toEqual({
      going: ['old'],
      packed: [],
      replacing: ['old.1 in pack', 'old.4 in pack'],
    });
  });

  it('deletes a pack that an interrupted prune has left if the old file stays', () => {
    const old = file('old', 3);
    const pack = file('pack', 0, { elsewhere: [['old', 1]] });
    const live = liveOf(['old', 0, 8], ['old', 1, 8], ['old', 2, 8]);
    expect(planOf([old, pack], live)).toEqual({
      going: ['pack'],
      packed: [],
      replacing: ['old.1 in old'],
    });
  });

  it('is refused if a needed part is in no file', () => {
    const files = [file('one', 2), file('kept', 1, { fate: 'stays' })];
    expect(() => planOf(files, liveOf(['one', 2, 1]))).toThrow(DamagedError);
    expect(() => planOf(files, liveOf(['gone', 0, 1]))).toThrow('gone, which is missing');
  });

  it('keeps or packs each needed part once, and only deletes files that may be deleted, for any files', () => {
    const names = ['a', 'b', 'c', 'd'];
    const arbitraryFile = fc.record({
      own: fc.nat(5),
      fate: fc.constantFrom('stays', 'goes', 'open'),
      elsewhere: fc.uniqueArray(fc.tuple(fc.constantFrom('p', 'q', ...names), fc.nat(5)), {
        selector: ([name, number]) => `${name} ${number}`,
        maxLength: 6,
      }),
    });
    const wanted = fc.array(fc.tuple(fc.nat(40), fc.integer({ min: 1, max: 8 })), {
      maxLength: 12,
    });
    fc.assert(
      fc.property(fc.array(arbitraryFile, { maxLength: 4 }), wanted, (made, wishes) => {
        const files = made.map(({ own, fate, elsewhere }, i) => {
          const name = names[i] ?? '';
          const sorted = elsewhere
            .filter(([bornIn]) => bornIn !== name)
            .sort(([one, m], [other, n]) => (one === other ? m - n : one < other ? -1 : 1));
          return file(name, own, { fate, elsewhere: sorted });
        });
        const keyOf = (each: TestFile, part: { bornIn?: string | undefined; number: number }) =>
          `${part.bornIn ?? each.backupId} ${part.number}`;
        const there = files.flatMap((each) => [...each.parts].map((part) => keyOf(each, part)));
        const needed = new Map(
          wishes.flatMap(([which, count]) => {
            const key = there[which];
            return key === undefined ? [] : [[key, count] as const];
          }),
        );
        const live = liveOf(
          ...[...needed].map(([key, count]) => {
            const [name = '', part] = key.split(' ');
            return [name, Number(part), count] as const;
          }),
        );
        const plan = planPacks(files, live);
        for (const { fate } of plan.going) expect(fate).not.toBe('stays');
        for (const each of files) if (each.fate === 'goes') expect(plan.going).toContain(each);
        const left = new Set(
          files
            .filter((each) => !plan.going.includes(each))
            .flatMap((each) => [...each.parts].map((part) => keyOf(each, part))),
        );
        const packed = plan.packed.map(({ bornIn, number }) => `${bornIn} ${number}`);
        expect(new Set(packed).size).toBe(packed.length);
        for (const key of needed.keys()) expect(left.has(key) !== packed.includes(key)).toBe(true);
        for (const key of packed) expect(needed.has(key)).toBe(true);
        // A needed part in a deleted file is authenticated where it stays.
        const authentic = new Set([
          ...packed,
          ...plan.replacing.map(({ bornIn, number }) => `${bornIn} ${number}`),
        ]);
        for (const going of plan.going) {
          for (const part of going.parts) {
            const key = keyOf(going, part);
            if (needed.has(key)) expect(authentic.has(key)).toBe(true);
          }
        }
        for (const { file: where } of plan.replacing) expect(plan.going).not.toContain(where);
      }),
      { numRuns: 500 },
    );
  });
});

describe('the files of packs', () => {
  it('stay below the largest file that the storage takes, also if what is left of a part hardly compresses', () => {
    const header = {
      compressionFilter: 'zstd',
      encrypted: true,
      grain: 2 ** 17,
      partSize: 4 * MiB,
    };
    const file = {
      stored: { file: { opened: { header } } },
      offsets: { table: { at: () => ({ size: 4 * MiB }) } },
    } as unknown as PrunedFile;
    const parts = Array.from({ length: 10 }, (_, row) => ({
      ...{ file, row, bornIn: 'a', number: row, live: 1, isTrimmed: true, bytes: 1000 },
    }));
    const packs = packFiles(parts, 10 * MiB);
    expect(packs.map((pack) => pack.length)).toEqual([2, 2, 2, 2, 2]);
    expect(
      packFiles(
        parts.map((part) => ({ ...part, isTrimmed: false })),
        10 * MiB,
      ),
    ).toHaveLength(1);
  });
});
