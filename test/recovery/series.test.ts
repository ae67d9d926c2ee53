import { describe, expect, it } from 'vitest';
import { SeriesMaker, chunkOf } from '../archive/coffer1/make-series.ts';
import { GRAIN, PASSPHRASE } from '../archive/coffer1/sample.ts';
import { WorkDirectory, sha256 } from '../archive/official-archives.ts';
import { SeriesOnDisk } from '../forget/series-on-disk.ts';
import { QUBES_XML_TEXT } from './backups.ts';
import { followPage } from './document.ts';
import { Recovery, SHELLS } from './script.ts';

const [WORK, OTHER] = ['vm5/private.img', 'vm55/private.img'];

/** A volume of named chunks; `-` is one of zeros. The last one is shorter. */
function volume(names: string): Buffer {
  const chunks = Array.from(names, (name) => (name === '-' ? Buffer.alloc(GRAIN) : chunkOf(name)));
  return Buffer.concat(chunks).subarray(0, names.length * GRAIN - 1000);
}

/** Three days: the volume of `work` needs the files of all three, the other one only the first. */
const maker = new SeriesMaker();
const VOLUMES = { [WORK]: volume('aBc-eFgB'), [OTHER]: volume('xyz') };
const qubesXml = Buffer.from(QUBES_XML_TEXT);
const days = [
  await maker.backup({ 'qubes.xml': qubesXml, [WORK]: volume('abcdef'), [OTHER]: volume('xyz') }),
  await maker.backup(
    { 'qubes.xml': qubesXml, [WORK]: volume('abcdeFq'), [OTHER]: volume('xyz') },
    { compressionFilter: 'gzip' },
  ),
  await maker.backup({ 'qubes.xml': qubesXml, ...VOLUMES, 'vm5/notes.txt': Buffer.from('three') }),
];
const [first, second, third] = days.map(({ bytes }) => bytes);
const pack = await maker.pack({ [days[0]?.backupId ?? '']: 'all' });
if (first === undefined || second === undefined || third === undefined)
  throw new Error('three days');

function recoveryOf(shell?: string): Recovery {
  const recovery = new Recovery(third ?? Buffer.alloc(0), shell);
  recovery.passphrase(PASSPHRASE);
  return recovery;
}

describe('recover.sh, from a backup that needs others,', () => {
  it.each(SHELLS)('recovers everything from all files, whatever they are called (%s)', (shell) => {
    using recovery = recoveryOf(shell);
    recovery.write('- of $HOME; a "day"', first);
    recovery.write('second', second);
    recovery.write('none of them', 'format=coffer-1\nkind=backup\n');
    expect(recovery.recover()).toMatchObject({ status: 0, stderr: '' });
    for (const [path, bytes] of Object.entries(VOLUMES)) {
      expect(recovery.read(path).equals(bytes), path).toBe(true);
    }
    expect(recovery.leftovers()).toEqual([]);
  });

  it.each(SHELLS)('reads the parts of deleted files from a pack (%s)', (shell) => {
    using recovery = recoveryOf(shell);
    recovery.write('pack', pack);
    recovery.write('second', second);
    expect(recovery.recover()).toMatchObject({ status: 0, stderr: '' });
    expect(recovery.read(WORK).equals(VOLUMES[WORK] ?? Buffer.alloc(0))).toBe(true);
  });

  it.each(SHELLS)('reads the remaining chunks of trimmed parts from a pack (%s)', async (shell) => {
    using series = new SeriesOnDisk();
    for (const day of ['abcdefgh', 'aBcdEFgH', 'aBcd-FGH']) {
      const volumes = { [WORK]: volume(day), [OTHER]: volume('xyz') };
      await series.backUp(volumes, { chunksInPart: 8 }, { vm5: 'work', vm55: 'dev-box' });
    }
    const [trimmed] = (await series.prune({ last: 1 })).packs;
    const bytes = series.read(trimmed?.untrustedName ?? '');
    expect(bytes.includes('trimmed/')).toBe(true);
    using recovery = new Recovery(series.read('day-3'), shell);
    recovery.passphrase(PASSPHRASE);
    recovery.write('pack', bytes);
    expect(recovery.recover()).toMatchObject({ status: 0, stderr: '' });
    for (const path of [WORK, OTHER]) {
      const expected = series.held.get('day-3')?.[path];
      expect(recovery.read(path).equals(expected ?? Buffer.alloc(0))).toBe(true);
    }
  });

  it.each<[string, Buffer | undefined, RegExp]>([
    ['is missing', undefined, /another file of its series/],
    ['is truncated', second.subarray(0, second.length / 2), /cut short[^]*was passed over/],
    ['is replaced by another', first, /another file of its series/],
  ])('recovers only the files that do not need it if a file %s, and says so', (_, instead, why) => {
    using recovery = recoveryOf();
    recovery.write('first', first);
    if (instead !== undefined) recovery.write('second', instead);
    const { status, stderr } = recovery.recover();
    expect({ status, stderr }).toMatchObject({ status: 3 });
    expect(stderr).toMatch(why);
    expect(stderr).toMatch(/vm5\/private.img was not recovered/);
    expect(recovery.recovered()).toEqual(['qubes.xml', 'vm5/notes.txt', OTHER]);
  });

  it.each(SHELLS)('recovers what a changed byte in another file does not concern (%s)', (shell) => {
    const changed = Buffer.from(first);
    const at = changed.indexOf('data.000\0') + 512 + 100;
    changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
    using recovery = recoveryOf(shell);
    recovery.write('first', changed);
    recovery.write('second', second);
    const { status, stderr } = recovery.recover();
    expect({ status, stderr }).toMatchObject({ status: 3 });
    expect(stderr).toBe(
      `recover.sh: ${WORK} was not recovered: ` +
        'data.000 was damaged or tampered with, in first, another file of its series\n',
    );
    expect(recovery.recovered()).toEqual(['qubes.xml', 'vm5/notes.txt', OTHER]);
    expect(recovery.leftovers()).toEqual([]);
  });

  it.each(SHELLS)('lists the backups in a directory by their times (%s)', (shell) => {
    using recovery = recoveryOf(shell);
    recovery.write('zz', first);
    recovery.write('pack', pack);
    recovery.write('letter', 'not a backup');
    const both = /^2026-01-01T00:00:00Z {2}zz\n2026-01-03T00:00:00Z {2}a backup$/m;
    const whole = recovery.run('-p', 'passphrase', '.');
    expect(whole).toMatchObject({ status: 0, stderr: '' });
    expect(whole.stdout).toMatch(both);
    recovery.write('cut', second.subarray(0, 3_000));
    const changed = Buffer.from(second);
    const at = changed.indexOf('manifest.000\0') + 512 + 100;
    changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
    recovery.write('damaged', changed);
    const { status, stdout, stderr } = recovery.run('-p', 'passphrase', '.');
    expect({ status, stderr }).toMatchObject({ status: 3 });
    expect(stdout).toMatch(both);
    expect(stderr).toMatch(
      /^recover.sh: cut is skipped: .*\nrecover.sh: damaged is skipped: .*\n$/,
    );
    expect(recovery.leftovers()).toEqual([]);
  });

  it('says with its exit status why it lists no backup', () => {
    using recovery = recoveryOf();
    recovery.passphrase('a wrong one');
    expect(recovery.run('-p', 'passphrase', '.')).toMatchObject({ status: 3 });
    expect(recovery.run('-p', 'passphrase', 'tmp')).toMatchObject({ status: 1 });
  });
});

describe('a series whose passphrase was changed', async () => {
  const changing = new SeriesMaker();
  const old = { 'qubes.xml': qubesXml, [WORK]: volume('abcdef') };
  const image = volume('aBcdeFq');
  const now = { 'qubes.xml': qubesXml, [WORK]: image };
  const before = (await changing.backup(old)).bytes;
  changing.changePassphrase('another passphrase');
  const after = (await changing.backup(now)).bytes;

  function recovery(passphrase: string, shell?: string): Recovery {
    const made = new Recovery(after, shell);
    made.passphrase(passphrase);
    made.write('before', before);
    return made;
  }

  it.each(SHELLS)(
    'is recovered with the passphrase of the backup that is recovered (%s)',
    (shell) => {
      using later = recovery('another passphrase', shell);
      expect(later.recover()).toMatchObject({ status: 0, stderr: '' });
      expect(later.read(WORK).equals(image)).toBe(true);
      using wrong = recovery(PASSPHRASE, shell);
      expect(wrong.recover()).toMatchObject({ status: 3 });
    },
  );

  it('is listed without the backups that the passphrase does not open', () => {
    for (const [passphrase, name, other] of [
      ['another passphrase', 'a backup', 'before'],
      [PASSPHRASE, 'before', 'a backup'],
    ] as const) {
      using listing = recovery(passphrase);
      const { status, stdout, stderr } = listing.run('-p', 'passphrase', '.');
      expect({ status, stderr }).toMatchObject({ status: 0 });
      expect(stdout.match(/^2026-.*$/gm)).toEqual([expect.stringMatching(` {2}${name}$`)]);
      expect(stderr).toContain(`${other} is skipped`);
    }
  });

  it.each(SHELLS)('is also recovered by docs/recovery.md (%s)', async (shell) => {
    using work = new WorkDirectory();
    work.write('before', before);
    const { status, stdout, stderr } = await followPage(work, {
      ...{ section: 'A coffer-1 backup that needs others', backup: after, file: WORK },
      ...{ passphrase: 'another passphrase', shell, image: false },
    });
    expect({ status, stdout, stderr }).toMatchObject({ status: 0 });
    expect(work.take(`recovery/${WORK}`).equals(image)).toBe(true);
  });
});

describe('docs/recovery.md, from a backup that needs others,', () => {
  const SECTION = 'A coffer-1 backup that needs others';
  const reader = { section: SECTION, backup: third, file: WORK, passphrase: PASSPHRASE };

  it.each(SHELLS)('recovers a volume from all files of its series (%s)', async (shell) => {
    using work = new WorkDirectory();
    work.write('the first', first);
    work.write('second', second);
    const { status, stdout, stderr } = await followPage(work, { ...reader, shell, image: false });
    expect({ status, stdout, stderr }).toMatchObject({ status: 0 });
    expect(stdout + stderr).not.toMatch(/STOP|MISSING/);
    expect(sha256(work.take(`recovery/${WORK}`))).toBe(sha256(VOLUMES[WORK] ?? Buffer.alloc(0)));
  });

  it.each(SHELLS)('recovers a volume from packs with trimmed parts (%s)', async (shell) => {
    using series = new SeriesOnDisk();
    for (const [work, other] of [
      ['abcdefgh', 'stuvwxyz'],
      ['aBCDEFgh', 'stuvwxyz'],
      ['aBCDEFgH', 'Stuvwxyz'],
    ] as const) {
      const volumes = { [WORK]: volume(work), [OTHER]: volume(other) };
      await series.backUp(volumes, { chunksInPart: 4 }, { vm5: 'work', vm55: 'dev-box' });
    }
    const { packs } = await series.prune({ last: 1 });
    const stored = packs.map(({ untrustedName }) => series.read(untrustedName));
    const names = Buffer.concat(stored).toString('latin1');
    expect(names).toMatch(/trimmed\//);
    expect(names).toMatch(/from\//);
    for (const isThere of [true, false]) {
      using work = new WorkDirectory();
      if (isThere) for (const [i, bytes] of stored.entries()) work.write(`pack ${i}`, bytes);
      const followed = {
        ...reader,
        backup: series.read('day-3'),

        shell,
        image: false,
      };
      const { stdout, stderr } = await followPage(work, { ...followed, heedless: !isThere });
      if (isThere) {
        expect(stdout + stderr).not.toMatch(/STOP|MISSING/);
        expect(work.take(`recovery/${WORK}`).equals(volume('aBCDEFgH'))).toBe(true);
      } else {
        expect(stderr).toMatch(/STOP: parts of the file .* are MISSING/);
        expect(() => work.take(`recovery/${WORK}`)).toThrow();
      }
    }
  });

  it('stops if a file is missing or has changed', async () => {
    const changed = Buffer.from(second);
    const at = changed.indexOf('data.000\0') + 512 + 100;
    changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
    for (const instead of [undefined, changed]) {
      using work = new WorkDirectory();
      work.write('first', first);
      if (instead !== undefined) work.write('second', instead);
      const followed = { ...reader, heedless: true, image: false };
      const { stderr } = await followPage(work, followed);
      expect(stderr).toMatch(/STOP: .*(MISSING|NOT authentic)/);
      expect(() => work.take(`recovery/${WORK}`)).toThrow();
    }
  });

  it('stops if the section for a single file is followed', async () => {
    using work = new WorkDirectory();
    const followed = { ...reader, section: 'coffer-1', heedless: true, image: false };
    const { stderr } = await followPage(work, followed);
    expect(stderr).toMatch(/STOP: this backup may need others/);
    expect(() => work.take(`recovery/${WORK}`)).toThrow();
  });
});
