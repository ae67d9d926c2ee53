import { rmSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NotOfferedError } from '../../dom0-agent/transport/storage-errors.ts';
import { DamagedError, RefusedError, StorageError } from '../../shared/errors.ts';
import { chunkOf } from '../archive/coffer1/make-series.ts';
import { GRAIN } from '../archive/coffer1/sample.ts';
import { FaultyStorage } from './faulty-storage.ts';
import { SeriesOnDisk } from './series-on-disk.ts';

/** A volume of named chunks; `-` is one of zeros. */
function volume(names: string): Buffer {
  const chunks = Array.from(names, (name) => (name === '-' ? Buffer.alloc(GRAIN) : chunkOf(name)));
  return Buffer.concat(chunks);
}

const HOME = 'vm5/private.img';
const DAYS = ['abcdefgh', 'aBcdefgh', 'aBcdEfgh', 'aBcdEfgH', 'aB-dEfGH'];
const NEW = 'vm6/private.img';

/** Five days of a VM of which some chunks change and others never do. */
async function fiveDays(): Promise<SeriesOnDisk> {
  const series = new SeriesOnDisk();
  for (const day of DAYS) await series.backUp({ [HOME]: volume(day) }, { chunksInPart: 1 });
  return series;
}

const KEPT = ['day-4', 'day-5'];
const RULES = { last: 2 };

describe('a prune', () => {
  it('deletes forgotten backups, keeps the others intact, and frees space', async () => {
    using series = await fiveDays();
    const before = series.bytes;
    const { deletions, packs } = await series.prune(RULES);
    // The newest first, as it refers to the others.
    expect(deletions.map(({ fileName, result }) => `${fileName} ${result}`)).toEqual([
      'day-3 DELETED',
      'day-2 DELETED',
      'day-1 DELETED',
    ]);
    expect(packs).toHaveLength(1);
    expect(series.files).toEqual([...KEPT, packs[0]?.untrustedName]);
    expect(await series.damaged(KEPT)).toEqual([]);
    expect(series.bytes).toBeLessThan(before);
  });

  it('keeps the last backup of a VM that this version of coffer cannot restore', async () => {
    using series = new SeriesOnDisk();
    const ofLaterVersion = (xml: string): string => xml.replace('class="AppVM"', 'class="LaterVM"');
    await series.backUp({ [HOME]: volume('abcd') }, {}, { vm5: 'work' }, [], ofLaterVersion);
    await series.backUp({ [NEW]: volume('efgh') }, {}, { vm6: 'dev-box' });
    const { verdicts } = await series.plan({ last: 1 });
    expect(verdicts.map(({ backup, reasons }) => [backup.subjects, reasons])).toEqual([
      [['work'], ['last']],
      [['dev-box'], ['last']],
    ]);
  });

  it('changes nothing if there is nothing to forget', async () => {
    using series = await fiveDays();
    const files = series.files;
    const { deletions, packs } = await series.prune({ last: 9 });
    expect([deletions, packs, series.files]).toEqual([[], [], files]);
  });

  it('changes nothing if it is repeated', async () => {
    using series = await fiveDays();
    await series.prune(RULES);
    const files = series.files;
    expect(await series.prune(RULES)).toMatchObject({ packs: [], deletions: [] });
    expect(series.files).toEqual(files);
  });

  it('deletes a pack of which nothing is needed any more', async () => {
    using series = await fiveDays();
    const [first] = (await series.prune(RULES)).packs;
    await series.backUp({ [HOME]: volume('12345678') });
    const { packs, deletions } = await series.prune({ last: 1 });
    expect(packs).toEqual([]);
    expect(deletions.map(({ fileName }) => fileName)).toContain(first?.untrustedName);
    expect(series.files).toEqual(['day-6']);
    expect(await series.damaged(['day-6'])).toEqual([]);
  });

  it('keeps a forgotten backup of which nearly all is needed, instead of copying its parts', async () => {
    using series = new SeriesOnDisk();
    await series.backUp({ [HOME]: volume('abcdefghijklmnopqrstuvwxyz') });
    await series.backUp({ [HOME]: volume('Abcdefghijklmnopqrstuvwxyz') });
    const { verdicts } = await series.plan({ last: 1 });
    expect(verdicts.map(({ reasons }) => reasons)).toEqual([['needed by others'], ['last']]);
    expect((await series.prune({ last: 1 })).deletions).toEqual([]);
    expect(await series.damaged()).toEqual([]);
  });

  it('trims parts to the chunks that are needed, also parts that were trimmed before', async () => {
    using series = new SeriesOnDisk();
    const days = ['abcdefghijklmnop', 'abcdEfghiJklmnoP', 'AbcdEfgh-JKlmnoP', 'AbCdEfgh-JKlm--P'];
    for (const day of days) await series.backUp({ [HOME]: volume(day) }, { chunksInPart: 8 });
    await series.prune({ last: 2 });
    const first = series.bytes;
    expect(await series.damaged(['day-3', 'day-4'])).toEqual([]);
    await series.backUp({ [HOME]: volume('AbCd--gh-JKlm--Z') }, { chunksInPart: 8 });
    const { packs } = await series.prune({ last: 1 });
    expect(await series.damaged(['day-5'])).toEqual([]);
    expect(series.bytes).toBeLessThan(first);
    const tables = await Promise.all(packs.map(({ file }) => file.parts()));
    const parts = tables.flatMap(({ table }) =>
      Array.from({ length: table.length }, (_, row) => table.at(row)),
    );
    expect(parts.some(({ isTrimmed }) => isTrimmed)).toBe(true);
    // All that is stored is needed, except for single chunks in parts that are needed nearly completely.
    const live = new Set('AbCdghJKlmZ').size;
    const stored = parts.reduce((sum, { chunks }) => sum + chunks, 0) + 1;
    expect(stored).toBeLessThanOrEqual(Math.ceil(live / 0.75));
  });

  it('applies the rules to each VM separately', async () => {
    using series = new SeriesOnDisk();
    const names = { vm5: 'work', vm6: 'dev-box' };
    await series.backUp({ [HOME]: volume('abc'), [NEW]: volume('xyz') }, {}, names);
    await series.backUp({ [HOME]: volume('abC') });
    await series.backUp({ [HOME]: volume('aBC') });
    const { verdicts } = await series.plan({ last: 1 });
    expect(verdicts.map(({ reasons }) => reasons)).toEqual([['last'], [], ['last']]);
  });

  it('applies the rules to each path of dom0 separately', async () => {
    using series = new SeriesOnDisk();
    const vm = { vm5: 'work' };
    await series.backUp({ [HOME]: volume('abc') }, {}, vm, ['/etc/qubes', '/srv/salt']);
    await series.backUp({ [HOME]: volume('abC') }, {}, vm, ['/etc/qubes']);
    await series.backUp({ [HOME]: volume('aBC') }, {}, vm, ['/etc/qubes']);
    await series.backUp({ [HOME]: volume('ABC') });
    const { verdicts } = await series.plan({ last: 1 });
    expect(verdicts.map(({ reasons }) => reasons)).toEqual([['last'], [], ['last'], ['last']]);
    expect(verdicts[0]?.backup.subjects).toEqual(['work', 'dom0:/etc/qubes', 'dom0:/srv/salt']);
  });

  it('ignores other files in the directory', async () => {
    using series = await fiveDays();
    series.write('letter', Buffer.from('Dear reader'));
    series.write('day-9.partial', series.read('day-1'));
    await series.prune(RULES);
    expect(series.files).toEqual(expect.arrayContaining(['letter', 'day-9.partial']));
  });

  it('keeps the newest backups intact, for any series of backups and prunes', async () => {
    const day = fc.record({
      names: fc.string({
        unit: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', '-'),
        minLength: 1,
        maxLength: 10,
      }),
      prunes: fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined }),
      filter: fc.constantFrom('gzip' as const, undefined, undefined),
      chunksInPart: fc.constantFrom(1, 3, 8),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(day, { minLength: 2, maxLength: 6 }), async (days) => {
        using series = new SeriesOnDisk();
        for (const { names, prunes, filter, chunksInPart } of days) {
          const options = { compressionFilter: filter, chunksInPart };
          await series.backUp({ [HOME]: volume(names) }, options);
          if (prunes !== undefined) await series.prune({ last: prunes });
        }
        const newest = [...series.held.keys()].slice(-keptOf(days));
        expect(await series.damaged(newest)).toEqual([]);
      }),
      { numRuns: 8 },
    );
  });
});

/** How many of the newest backups are kept after these days. */
function keptOf(days: readonly { readonly prunes: number | undefined }[]): number {
  return days.reduce((left, { prunes = Infinity }) => Math.min(left + 1, prunes), 0);
}

describe('a prune stops, and changes nothing, if', () => {
  const expectUntouched = async (
    series: SeriesOnDisk,
    error: new (message: string) => Error,
    rules = RULES,
  ): Promise<void> => {
    const before = series.files;
    const bytes = before.map((name) => series.read(name));
    await expect(series.prune(rules)).rejects.toThrow(error);
    expect(series.files).toEqual(before);
    expect(
      series.files.every((name, i) => series.read(name).equals(bytes[i] ?? Buffer.alloc(0))),
    ).toBe(true);
  };
  const flip = (series: SeriesOnDisk, name: string, at: number): void => {
    const bytes = series.read(name);
    const place = at < 0 ? bytes.length + at : at;
    bytes[place] = (bytes[place] ?? 0) ^ 1;
    series.write(name, bytes);
  };

  it('the map of a backup that is kept is damaged', async () => {
    using series = await fiveDays();
    const bytes = series.read('day-4');
    flip(series, 'day-4', bytes.indexOf('vm5/private.map.000') + 600);
    await expectUntouched(series, DamagedError);
  });

  it.each([100, 700, -2_000])('a header or a manifest is damaged (byte %i)', async (at) => {
    using series = await fiveDays();
    flip(series, 'day-2', at);
    await expectUntouched(series, DamagedError);
  });

  it('a file is missing that a backup needs which is kept', async () => {
    using series = await fiveDays();
    rmSync(path.join(series.directory, 'day-3'));
    await expectUntouched(series, DamagedError);
  });

  it('a part that is to be moved is damaged, and removes the unfinished pack', async () => {
    using series = await fiveDays();
    flip(series, 'day-1', series.read('day-1').indexOf('data.000') + 3_000);
    await expectUntouched(series, DamagedError);
  });

  it('the storage does not delete files, before it makes a pack', async () => {
    using series = await fiveDays();
    const storage = new FaultyStorage((step) => {
      if (step === 'ask') throw new NotOfferedError('it deletes nothing');
    });
    series.storage = storage;
    await expectUntouched(series, NotOfferedError);
    expect(storage.steps).toEqual([]);
  });

  it('a backup has a time in the future', async () => {
    using series = await fiveDays();
    await expect(series.prune(RULES, new Date('2026-01-03T00:00:00Z'))).rejects.toThrow('future');
    expect(series.files).toHaveLength(5);
  });

  it('a backup is in the directory twice', async () => {
    using series = await fiveDays();
    series.write('copy', series.read('day-5'));
    await expectUntouched(series, RefusedError);
  });
});

describe('a prune deletes nothing before it has read back and authenticated the pack:', () => {
  /** A storage that changes the pack as soon as it is stored. */
  const spoiling = (series: SeriesOnDisk, spoil: (pack: Buffer) => Buffer): FaultyStorage =>
    new FaultyStorage(
      () => undefined,
      (step, name) => {
        if (step === 'finish') series.write(name, spoil(series.read(name)));
      },
    );

  it('all backups remain intact if a byte of the pack changes', async () => {
    using whole = await fiveDays();
    const { packs } = await whole.prune(RULES);
    const length = whole.read(packs[0]?.untrustedName ?? '').length;
    for (let i = 0; i < 6; i++) {
      using series = await fiveDays();
      series.storage = spoiling(series, (pack) => {
        const at = Math.floor((i / 6) * length + ((i * 37) % 100));
        pack[at] = (pack[at] ?? 0) ^ 0x10;
        return pack;
      });
      await expect(series.prune(RULES), `byte ${i}`).rejects.toThrow(DamagedError);
      expect(await series.damaged(), `byte ${i}`).toEqual([]);
      expect(series.files.slice(0, 5)).toEqual(['day-1', 'day-2', 'day-3', 'day-4', 'day-5']);
    }
  }, 120_000);

  it.each<[string, (pack: Buffer) => Buffer]>([
    ['cut short', (pack) => pack.subarray(0, -1024)],
    ['empty', () => Buffer.alloc(0)],
    ['replaced by other bytes', () => Buffer.alloc(100_000, 'x')],
  ])('all backups remain intact if the pack is %s', async (_what, spoil) => {
    using series = await fiveDays();
    series.storage = spoiling(series, spoil);
    await expect(series.prune(RULES)).rejects.toThrow(Error);
    expect(await series.damaged()).toEqual([]);
  });

  it('all backups remain intact if the pack is replaced by another authentic one', async () => {
    using series = await fiveDays();
    // The other pack comes from an interrupted prune with other rules.
    series.storage = new FaultyStorage((step) => {
      if (step === 'delete') throw new StorageError('it broke off');
    });
    await expect(series.prune({ last: 3 })).rejects.toThrow('broke off');
    const older = series.files.find((name) => name.startsWith('qubes-pack')) ?? '';
    const bytes = series.read(older);
    rmSync(path.join(series.directory, older));
    series.storage = spoiling(series, () => bytes);
    await expect(series.prune(RULES)).rejects.toThrow(StorageError);
    expect(await series.damaged()).toEqual([]);
  });

  it('all other files remain if one disappears meanwhile', async () => {
    using series = await fiveDays();
    series.storage = new FaultyStorage(
      () => undefined,
      (step) => {
        if (step === 'finish') rmSync(path.join(series.directory, 'day-4'));
      },
    );
    await expect(series.prune(RULES)).rejects.toThrow('nothing was deleted');
    expect(series.files).toEqual(expect.arrayContaining(['day-1', 'day-2', 'day-3', 'day-5']));
  });

  it('all backups remain, also one that another machine stores meanwhile, which may need what was to be deleted', async () => {
    using series = await fiveDays();
    const newest = await series.backUp({ [HOME]: volume('abcdefgh') }, { chunksInPart: 1 });
    const bytes = series.read(newest);
    rmSync(path.join(series.directory, newest));
    series.storage = new FaultyStorage(
      () => undefined,
      (step) => {
        if (step === 'finish') series.write(newest, bytes);
      },
    );
    await expect(series.prune(RULES)).rejects.toThrow(/^day-6 was stored meanwhile/);
    expect(await series.damaged()).toEqual([]);
  });

  it('at whichever step it breaks off, the backups that are kept are intact, and the next prune completes it', async () => {
    using undisturbed = await fiveDays();
    const counting = new FaultyStorage(() => undefined);
    undisturbed.storage = counting;
    await undisturbed.prune(RULES);
    const { steps } = counting;
    expect(steps.indexOf('delete')).toBeGreaterThan(steps.lastIndexOf('finish'));
    for (let broken = 0; broken < steps.length; broken += broken < 2 ? 1 : 6) {
      using series = await fiveDays();
      series.storage = new FaultyStorage((_, number) => {
        if (number === broken) throw new StorageError('it broke off');
      });
      await expect(series.prune(RULES)).rejects.toThrow('broke off');
      const what = `broken off at step ${broken}, ${steps[broken] ?? ''}`;
      expect(await series.damaged(KEPT), what).toEqual([]);
      series.storage = new FaultyStorage(() => undefined);
      await series.prune(RULES, new Date('2031-01-01T00:00:01Z'));
      expect(await series.damaged(KEPT), what).toEqual([]);
      expect(
        series.files.filter((name) => name.startsWith('day')),
        what,
      ).toEqual(KEPT);
    }
  }, 120_000);
});
