import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ArchivedFile } from '../../../dom0-agent/archive/archive.ts';
import { openArchive } from '../../../dom0-agent/archive/open-archive.ts';
import { DamagedError, messageOf } from '../../../shared/errors.ts';
import { MemoryDirectory } from '../memory-directory.ts';
import { SeriesMaker, chunkOf } from './make-series.ts';
import { GRAIN, PASSPHRASE, never } from './sample.ts';

type Files = Readonly<Record<string, Buffer>>;

const [ROOT, HOME] = ['vm5/root.img', 'vm6/private.img'];

/** A volume of named chunks; `-` is one of zeros. */
function volume(names: string): Buffer {
  return Buffer.concat(
    Array.from(names, (name) => (name === '-' ? Buffer.alloc(GRAIN) : chunkOf(name))),
  );
}

/** Digests of files: comparing and printing buffers takes long. */
type Digests = Readonly<Record<string, string>>;

function digestsOf(files: Files): Digests {
  return Object.fromEntries(Object.entries(files).map(([path, bytes]) => [path, sha256(bytes)]));
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** What each file of a backup holds, or why it cannot be read. */
async function readAll(
  directory: MemoryDirectory,
  name: string,
  wanted: (path: string) => boolean = () => true,
): Promise<Digests> {
  const input = await directory.open(name);
  const { siblings } = directory;
  const passphrase = Buffer.from(PASSPHRASE);
  const reader = await openArchive(input, passphrase, never, { siblings });
  await reader.qubesXml();
  const found: Record<string, string> = {};
  for await (const file of reader.files(wanted)) {
    found[file.path] = await digestOf(file).catch((error: unknown) => {
      if (!(error instanceof DamagedError)) throw error;
      return messageOf(error);
    });
  }
  return found;
}

async function digestOf(file: ArchivedFile): Promise<string> {
  if ('innerTar' in file) throw new Error(`${file.path} is a tree`);
  const content = Buffer.alloc(file.size);
  for await (const { offset, bytes } of file.pieces()) bytes.copy(content, offset);
  return sha256(content);
}

/** Three days of two VMs. */
async function threeDays() {
  const maker = new SeriesMaker();
  const contents: Files[] = [
    { 'vm5/notes.txt': Buffer.from('one'), [ROOT]: volume('abcdef'), [HOME]: volume('uvwxyz') },
    { 'vm5/notes.txt': Buffer.from('two'), [ROOT]: volume('abcdef'), [HOME]: volume('uvWxyz') },
    { 'vm5/notes.txt': Buffer.from('three'), [ROOT]: volume('aBcd-f'), [HOME]: volume('uvWxYz') },
  ];
  const made: Awaited<ReturnType<SeriesMaker['backup']>>[] = [];
  for (const day of contents) made.push(await maker.backup(day));
  const files = Object.fromEntries(made.map(({ bytes }, day) => [`day-${day}`, bytes]));
  const ids = made.map(({ backupId }) => backupId);
  return { maker, days: contents.map(digestsOf), files, ids };
}

const letters = fc.string({ unit: fc.constantFrom(...Array.from('abcdefghij-')), maxLength: 12 });

describe('a backup that refers to others of its series', () => {
  it('is read from all of them, whatever changed or moved between the days', async () => {
    const day = fc.record({
      root: letters,
      home: letters,
      chunksInPart: fc.integer({ min: 1, max: 5 }),
      compressionFilter: fc.constantFrom('gzip' as const, undefined),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(day, { minLength: 1, maxLength: 6 }),
        fc.nat(),
        async (days, kept) => {
          const maker = new SeriesMaker();
          const files: Record<string, Buffer> = {};
          const contents: Files[] = [];
          for (const [number, { root, home, ...options }] of days.entries()) {
            const content = {
              ...{ 'vm5/notes.txt': Buffer.from(`day ${number}`), 'vm6/empty': Buffer.alloc(0) },
              ...{ [ROOT]: volume(root), [HOME]: volume(home) },
            };
            contents.push(content);
            files[`day-${number}`] = (await maker.backup(content, options)).bytes;
          }
          const one = kept % days.length;
          for (const number of [days.length - 1, one]) {
            const found = await readAll(new MemoryDirectory(files), `day-${number}`);
            expect(found).toEqual(
              digestsOf({ 'qubes.xml': Buffer.from('<qubes/>'), ...contents[number] }),
            );
          }
        },
      ),
      { numRuns: 10 },
    );
  });

  it('is read even if a part is needed again after its memory was reused for others', async () => {
    const maker = new SeriesMaker();
    const options = { chunksInPart: 10, compressionFilter: 'gzip' } as const;
    const files: Record<string, Buffer> = {};
    const days = ['abcdefghij', 'abCDefghij', 'abCDeFGHIj'];
    for (const [number, names] of days.entries()) {
      files[`day-${number}`] = (await maker.backup({ [ROOT]: volume(names) }, options)).bytes;
    }
    // Reads the parts of the first, second, first, third and first day, in this order.
    const found = await readAll(new MemoryDirectory(files), 'day-2');
    expect(found).toMatchObject(digestsOf({ [ROOT]: volume(days[2] ?? '') }));
  });

  it('is read whatever the files are called, among files that do not belong to the series', async () => {
    const { days, files } = await threeDays();
    const other = await new SeriesMaker().backup({ [ROOT]: volume('none') });
    const directory = new MemoryDirectory({
      ...{
        zzz: files['day-2'] ?? Buffer.alloc(0),
        'holiday.jpg': files['day-0'] ?? Buffer.alloc(0),
      },
      ...{ notes: Buffer.from('no backup'), empty: Buffer.alloc(0), another: other.bytes },
      ...{ '-rf': files['day-1'] ?? Buffer.alloc(0) },
    });
    expect(await readAll(directory, 'zzz')).toMatchObject(days[2] ?? {});
  });

  it('looks at no other file if it needs none', async () => {
    const { files, days } = await threeDays();
    const directory = new MemoryDirectory(files);
    const found = await readAll(directory, 'day-0');
    expect(found).toMatchObject(days[0] ?? {});
    expect(directory.listed).toBe(0);
    expect(directory.bytesRead).toBeLessThan(2.5 * (files['day-0']?.length ?? 0));
  });

  it('loses only what is in a file that is missing, cut short or replaced', async () => {
    const { days, files } = await threeDays();
    const day1 = files['day-1'] ?? Buffer.alloc(0);
    const flipped = Buffer.from(day1);
    flipped.writeUInt8(flipped.readUInt8(700) ^ 1, 700);
    for (const [what, instead, why] of [
      ['missing', undefined, /vm6\/private.img is partly in .*, which is not in its directory/],
      ['cut short', day1.subarray(0, day1.length / 2), /which is damaged: day-1: .*incomplete/],
      ['the first day again', files['day-0'], /which is not in its directory/],
      ['with another header', flipped, /not in its directory|which is damaged/],
    ] as const) {
      const others = Object.entries(files).filter(([name]) => name !== 'day-1');
      const present = Object.fromEntries(others);
      const found = await readAll(
        new MemoryDirectory(instead === undefined ? present : { ...present, 'day-1': instead }),
        'day-2',
      );
      expect(found, what).toMatchObject({
        ...days[2],
        [HOME]: expect.stringMatching(why) as string,
      });
    }
  });

  it('does not use a file that claims the id of another', async () => {
    const { maker, days, files, ids } = await threeDays();
    const fake = Buffer.from((await maker.backup({ [ROOT]: volume('fake') })).bytes);
    const at = fake.indexOf('backup-id=') + 'backup-id='.length;
    fake.write(ids[0] ?? '', at, 'latin1');
    const directory = new MemoryDirectory({ 'a-fake': fake, ...files });
    expect(await readAll(directory, 'day-2')).toMatchObject(days[2] ?? {});
  });

  it('is refused if a byte has changed in a part that it needs of another file', async () => {
    const { files, days } = await threeDays();
    const genuine = files['day-1'] ?? Buffer.alloc(0);
    const from = genuine.indexOf('data.000\0');
    for (const at of [512 + 10, 512 + 5_000, 512 + 60_000]) {
      const changed = Buffer.from(genuine);
      changed.writeUInt8(changed.readUInt8(from + at) ^ 0x40, from + at);
      const found = await readAll(new MemoryDirectory({ ...files, 'day-1': changed }), 'day-2');
      expect(found).toMatchObject({
        ...days[2],
        [HOME]: expect.stringMatching(/day-1: data.000 .*damaged or tampered/) as string,
      });
    }
  });

  it('is refused if two parts that it needs have changed places', async () => {
    const { files } = await threeDays();
    const one = files['day-0'] ?? Buffer.alloc(0);
    const swapped = Buffer.from(one);
    const [first, second] = [one.indexOf('data.000\0'), one.indexOf('data.001\0')];
    const length = second - first - 512 - 1024;
    one.copy(swapped, first + 512, second + 512, second + 512 + length);
    one.copy(swapped, second + 512, first + 512, first + 512 + length);
    const found = await readAll(new MemoryDirectory({ ...files, 'day-0': swapped }), 'day-2');
    expect(found[ROOT]).toMatch(/day-0: data.000 .*damaged or tampered/);
  });
});

describe('a pack', () => {
  it('replaces files that were deleted', async () => {
    const { maker, days, files, ids } = await threeDays();
    const pack = await maker.pack({ [ids[0] ?? '']: 'all', [ids[1] ?? '']: 'all' });
    const directory = new MemoryDirectory({ 'day-2': files['day-2'] ?? Buffer.alloc(0), pack });
    expect(await readAll(directory, 'day-2')).toMatchObject(days[2] ?? {});
    // It does no harm while the files are still there.
    expect(await readAll(new MemoryDirectory({ ...files, pack }), 'day-2')).toMatchObject(
      days[2] ?? {},
    );
  });

  it('may hold only some parts of a file, if another pack holds the others', async () => {
    const { maker, days, files, ids } = await threeDays();
    const [one = '', two = ''] = ids;
    const packs = {
      first: await maker.pack({ [one]: [0, 2, 4], [two]: 'all' }),
      second: await maker.pack({ [one]: [1, 3, 5] }),
    };
    const last = { 'day-2': files['day-2'] ?? Buffer.alloc(0) };
    expect(await readAll(new MemoryDirectory({ ...last, ...packs }), 'day-2')).toMatchObject(
      days[2] ?? {},
    );
    const found = await readAll(new MemoryDirectory({ ...last, first: packs.first }), 'day-2');
    expect(found[ROOT]).toMatch(/names a part that the backup does not contain/);
  });

  it('is not accepted as a backup', async () => {
    const { maker, ids } = await threeDays();
    const pack = await maker.pack({ [ids[0] ?? '']: 'all' });
    await expect(readAll(new MemoryDirectory({ pack }), 'pack')).rejects.toThrow(/not a backup/);
  });
});

describe('checking a series', () => {
  async function check(files: Files, name = 'day-2') {
    const directory = new MemoryDirectory(files);
    const input = await directory.open(name);
    const { siblings } = directory;
    const reader = await openArchive(input, Buffer.from(PASSPHRASE), never, { siblings });
    const checked = (await reader.inSeries?.check(() => undefined)) ?? [];
    const told = checked.map(({ name: file, damages, volumes }) => {
      const lost = volumes.map(({ path, damage }) => `${path}: ${damage.message}`);
      return [file, [...damages, ...lost]] as const;
    });
    return { damages: told, directory };
  }
  const sound = (...names: string[]) => names.map((name) => [name, []]);

  it('reads each file once, packs included, and finds no damage where there is none', async () => {
    const { maker, files, ids } = await threeDays();
    const pack = await maker.pack({ [ids[0] ?? '']: 'all' });
    const { damages, directory } = await check({ ...files, pack });
    expect(damages).toEqual(sound('day-0', 'day-1', 'day-2', 'pack'));
    const total = Object.values(files).reduce((sum, { length }) => sum + length, pack.length);
    expect(directory.bytesRead).toBeLessThan(1.5 * total);
  });

  it('says in which file a byte has changed, and which volumes of which backups are lost', async () => {
    const { files } = await threeDays();
    const changed = Buffer.from(files['day-0'] ?? '');
    const at = changed.indexOf('data.000\0') + 512 + 5_000;
    changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
    const { damages } = await check({ ...files, 'day-0': changed });
    const lost = [expect.stringMatching(/vm5\/root.img.*damaged/) as string];
    expect(damages).toEqual([
      ['day-0', [expect.stringMatching(/^data.000 .*tampered/), ...lost]],
      ['day-1', lost],
      ['day-2', lost],
    ]);
  });

  it('notices a changed byte in any member', async () => {
    const { files } = await threeDays();
    const genuine = files['day-1'] ?? Buffer.alloc(0);
    for (let at = 300; at < genuine.length - 1024; at += 9_973) {
      const changed = Buffer.from(genuine);
      changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
      const { damages } = await check({ ...files, 'day-1': changed });
      const all = damages.flatMap(([, each]) => each);
      // With another series in its header, the file is not one of this series: what needs it is lost.
      expect(all.length, `byte ${at}`).toBeGreaterThan(0);
    }
  });

  it('names the volumes that are lost with a missing file', async () => {
    const { files } = await threeDays();
    const present = Object.fromEntries(Object.entries(files).filter(([name]) => name !== 'day-1'));
    const { damages } = await check(present);
    expect(damages).toEqual([
      ['day-0', []],
      ['day-2', [expect.stringMatching(/vm6\/private.img .* not in its directory/)]],
    ]);
  });
});

describe('reading one backup of a long series', () => {
  it('reads less than twice the bytes that it needs', async () => {
    const maker = new SeriesMaker();
    const files: Record<string, Buffer> = {};
    const names = Array.from({ length: 200 }, (_, i) => String.fromCodePoint(0x100 + i));
    let needed = 0;
    for (let day = 0; day < 30; day++) {
      for (let i = 0; i < 3; i++)
        names[(day * 37 + i * 61) % 200] = String.fromCodePoint(0x1000 + day * 3 + i);
      const contents = { [HOME]: volume(names.join('')) };
      files[`day-${day}`] = (await maker.backup(contents, { chunksInPart: 8 })).bytes;
      needed = contents[HOME]?.length ?? 0;
    }
    const directory = new MemoryDirectory(files);
    const found = await readAll(directory, 'day-29', (path) => path === HOME);
    expect(found).toEqual(digestsOf({ [HOME]: volume(names.join('')) }));
    expect(directory.bytesRead).toBeLessThan(2 * needed);
  });

  it('reads the beginning and the end of each file only once, besides its parts', async () => {
    const maker = new SeriesMaker();
    const files: Record<string, Buffer> = {};
    const days = 20;
    for (let day = 0; day < days; day++) {
      const names = Array.from({ length: days }, (_, i) => String.fromCodePoint(0x100 + i));
      for (let i = 0; i <= day; i++) names[i] = String.fromCodePoint(0x1000 + i);
      files[`day-${day}`] = (await maker.backup({ [HOME]: volume(names.join('')) })).bytes;
    }
    const directory = new MemoryDirectory(files);
    await readAll(directory, `day-${days - 1}`, (path) => path === HOME);
    // The backup itself is begun twice, as its header is one of those in the directory, and its qubes.xml and map are read.
    expect(directory.reads - directory.ranges).toBeLessThanOrEqual(2 * days + 4);
  });
});
