import { describe, expect, test } from 'vitest';
import { contentOf } from '../content-of.ts';
import { innerTarsOf, readNothingElse } from '../authentic-prefix.ts';
import { outcomeOf, outcomeOfReading } from '../outcome-of-reading.ts';
import { CofferError, DamagedError, WrongPassphraseError } from '../../../shared/errors.ts';
import {
  type OuterMemberBlocks,
  archiveOf,
  inputOf,
  membersOf,
  noise,
  open,
  readAll,
  sha256,
} from '../official-archives.ts';
import { openArchive } from '../../../dom0-agent/archive/open-archive.ts';
import { makeQubes4, withCosts } from './make-qubes4.ts';

const never = new AbortController().signal;
const PASSPHRASE = 'a long one';
const PRIVATE = noise(50_000);
const FILES = {
  'vm5/private.img': PRIVATE,
  'vm5/firewall.xml': '<firewall/>',
  'vm6/private.img': noise(33_000, 'other'),
};
const archive = makeQubes4({ files: FILES, passphrase: PASSPHRASE, partSize: 16_384 });
const members = membersOf(archive);

function indexOf(name: string): number {
  const index = members.findIndex((member) => member.name === name);
  if (index < 0) throw new Error(`no member ${name}`);
  return index;
}

function memberNamed(name: string): OuterMemberBlocks {
  const member = members[indexOf(name)];
  if (member === undefined) throw new Error(`no member ${name}`);
  return member;
}

/** The member's blocks with another content of the same length. */
function withContent(
  { name, blocks, content }: OuterMemberBlocks,
  changed: Buffer,
): OuterMemberBlocks {
  const copy = Buffer.from(blocks);
  changed.copy(copy, content.byteOffset - blocks.byteOffset);
  return { name, blocks: copy, content: changed };
}

/** The outcome of reading it as a file, which must be that of reading it as a stream. */
const outcome = (bytes: Buffer, passphrase = PASSPHRASE): Promise<unknown> =>
  outcomeOfReading(bytes, passphrase);

describe('an archive made with tar and scrypt is read', () => {
  test.each([
    ['gzip', 'gzip', 'gzip', '-c'],
    ['pigz', 'pigz', 'pigz', '-c'],
    ['bzip2', 'bzip2', 'bzip2', '-c'],
    ['pbzip2', 'pbzip2', 'bzip2', '-c'],
    ['xz', 'xz', 'xz', '-c'],
    ['lzma', 'lzma', 'xz', '--format=lzma', '-c'],
    ['zstd', 'zstd', 'zstd', '-c'],
    ['zstdmt', 'zstdmt', 'zstd', '-T2', '-c'],
    ['lz4', 'lz4', 'lz4', '-c'],
    ['a command with a level', 'xz -0', 'xz', '-0', '-c'],
  ] as const)('if it was compressed with %s', async (_, name, program, ...args) => {
    const bytes = makeQubes4({
      files: FILES,
      passphrase: PASSPHRASE,
      partSize: 16_384,
      filter: [name, program, ...args],
    });
    const { files } = await readAll(bytes, PASSPHRASE, false);
    expect(Object.fromEntries(files)).toEqual(
      Object.fromEntries(Object.entries(FILES).map(([path, content]) => [path, sha256(content)])),
    );
  });

  test('if it was compressed with an unknown program, with the filter that the user names instead', async () => {
    const filter = ['/home/me/bin/squeeze', 'lzop', '-c'] as const;
    const bytes = makeQubes4({ files: FILES, passphrase: PASSPHRASE, filter });
    const refused = openArchive(inputOf(bytes, false), Buffer.from(PASSPHRASE), never);
    await expect(refused).rejects.toThrow(
      'compressed with "/home/me/bin/squeeze", which coffer does not support: if another program can decompress it, name that with -Z',
    );
    const reader = await openArchive(inputOf(bytes, false), Buffer.from(PASSPHRASE), never, {
      forcedFilter: 'lzop',
    });
    expect(reader.header.compressionFilter).toBe('lzop');
    expect(await reader.qubesXml()).toBe('<qubes/>');
  });

  test.each([
    'motörhead 🎸',
    `it's "quoted" \\ $HOME`,
    ' spaces  around ',
    '!a!b!',
    'x'.repeat(500),
  ])('under the passphrase %s', async (passphrase) => {
    const bytes = makeQubes4({ files: { 'vm1/private.img': 'data' }, passphrase });
    const { qubesXml, files } = await readAll(bytes, passphrase);
    expect(qubesXml).toBe('<qubes/>');
    expect(files.get('vm1/private.img')).toBe(sha256('data'));
    expect(await outcome(bytes, ` ${passphrase}`)).toBeInstanceOf(WrongPassphraseError);
  });

  test('with a sparse volume', async () => {
    const volume = Buffer.concat([Buffer.alloc(2 ** 20), noise(4096), Buffer.alloc(3 * 2 ** 20)]);
    const bytes = makeQubes4({ files: { 'vm1/root.img': volume }, passphrase: PASSPHRASE });
    expect((await readAll(bytes, PASSPHRASE)).files.get('vm1/root.img')).toBe(sha256(volume));
  });

  test('with the expected header', async () => {
    const reader = await open(inputOf(archive, true), PASSPHRASE);
    expect(reader.header).toEqual({
      format: 'qubes-4',
      backupId: '20260101T000000-1',
      encrypted: true,
      compressionFilter: undefined,
    });
  });
});

describe('the files', () => {
  test('of many VMs are read without a warning from Node.js', async () => {
    const warnings: string[] = [];
    const note = (warning: Error): void => void warnings.push(warning.message);
    process.on('warning', note);
    const files = Object.fromEntries(
      Array.from({ length: 40 }, (_, i) => [`vm${i}/private.img`, `data ${i}`]),
    );
    const bytes = makeQubes4({ files, passphrase: PASSPHRASE, logN: 12 });
    const contents = await readAll(bytes, PASSPHRASE, false);
    process.off('warning', note);
    expect([...contents.paths]).toEqual(Object.keys(files));
    expect(warnings).toEqual([]);
  });

  test('that were not asked for are skipped, even if they are damaged', async () => {
    const bad = withContent(memberNamed('vm6/private.img.000.enc'), noise(16_512));
    const bytes = archiveOf(members.with(indexOf(bad.name), bad));
    const reader = await open(inputOf(bytes, false), PASSPHRASE);
    await reader.qubesXml();
    const paths: string[] = [];
    for await (const file of reader.files((path) => path.startsWith('vm5/'))) {
      paths.push(file.path);
      for await (const chunk of contentOf(file)) expect(chunk.length).toBeGreaterThan(0);
    }
    expect(paths).toEqual(['vm5/private.img', 'vm5/firewall.xml']);
  });

  test('may be left unread, or read in part', async () => {
    const reader = await open(inputOf(archive, true), PASSPHRASE);
    await reader.qubesXml();
    const paths: string[] = [];
    for await (const file of reader.files(() => true)) {
      paths.push(file.path);
      if (file.path === 'vm5/private.img')
        for await (const chunk of contentOf(file)) if (chunk.length > 0) break;
    }
    expect(paths).toEqual(Object.keys(FILES));
  });

  test('need not all be asked for', async () => {
    const reader = await open(inputOf(archive, true), PASSPHRASE);
    await reader.qubesXml();
    for await (const { path } of reader.files(() => true)) {
      expect(path).toBe('vm5/private.img');
      break;
    }
  });

  test('that follow a damaged one are read completely', async () => {
    const bad = withContent(memberNamed('vm5/private.img.001.enc'), noise(16_512));
    const reader = await open(
      inputOf(archiveOf(members.with(indexOf(bad.name), bad)), true),
      PASSPHRASE,
    );
    await reader.qubesXml();
    const results: [string, unknown][] = [];
    for await (const file of reader.files(() => true)) {
      const { path } = file;
      let length = 0;
      try {
        for await (const chunk of contentOf(file)) length += chunk.length;
        results.push([path, length]);
      } catch (error) {
        results.push([path, error]);
      }
    }
    expect(results).toEqual([
      ['vm5/private.img', expect.any(DamagedError)],
      ['vm5/firewall.xml', 10_240],
      ['vm6/private.img', 40_960],
    ]);
  });

  test('end when reading is aborted', async () => {
    const abort = new AbortController();
    const reader = await open(inputOf(archive, true), PASSPHRASE, abort.signal);
    await reader.qubesXml();
    const reading = async (): Promise<void> => {
      for await (const file of reader.files(() => true)) {
        abort.abort(new Error('enough'));
        for await (const chunk of contentOf(file)) expect(chunk.length).toBeGreaterThanOrEqual(0);
      }
    };
    await expect(reading()).rejects.toThrow();
  });
});

describe('a changed archive is refused if', () => {
  test('a byte of any member has changed, before any of its data is given', async () => {
    const genuine = await innerTarsOf(await open(inputOf(archive, true), PASSPHRASE));
    for (const member of members) {
      const base = member.content.byteOffset - archive.byteOffset;
      const last = member.content.length - 1;
      for (const at of new Set([0, 6, 7, 10, 16, 50, 70, 96, 120, last - 31, last])) {
        if (at < 0 || at > last) continue;
        const changed = Buffer.from(archive);
        changed.writeUInt8(changed.readUInt8(base + at) ^ 0x20, base + at);
        for (const seekable of [true, false]) {
          const reading = open(inputOf(changed, seekable), PASSPHRASE).then((reader) =>
            readNothingElse(reader, genuine),
          );
          const error = await outcomeOf(reading);
          expect(error, `${member.name} byte ${at}`).toBeInstanceOf(CofferError);
        }
      }
    }
  });

  test('it is truncated within a file', async () => {
    for (const [index, { blocks, name }] of members.entries()) {
      const begin = blocks.byteOffset - archive.byteOffset;
      // Between two files, the archive alone does not show it: qubes.xml does, see missing-files.test.ts.
      const betweenFiles = name.endsWith('.000.enc') && index > 2;
      for (const at of betweenFiles ? [begin + 700] : [begin, begin + 700]) {
        const error = await outcome(archive.subarray(0, at));
        expect(error, `cut at ${at}, ${name}`).toBeInstanceOf(Error);
      }
    }
  });

  const other = makeQubes4({
    files: FILES,
    passphrase: PASSPHRASE,
    partSize: 16_384,
    backupId: '20260102T000000-1',
  });
  const fromOther = (name: string): OuterMemberBlocks => {
    const member = membersOf(other).find((each) => each.name === name);
    if (member === undefined) throw new Error(`no member ${name}`);
    return member;
  };
  const part1 = memberNamed('vm5/private.img.001.enc');
  const part2 = memberNamed('vm5/private.img.002.enc');
  const at1 = indexOf(part1.name);
  const at2 = indexOf(part2.name);

  test.each([
    ['two parts have changed places', members.with(at1, part2).with(at2, part1)],
    [
      'two parts have exchanged contents',
      members
        .with(at1, withContent(part1, part2.content))
        .with(at2, withContent(part2, part1.content)),
    ],
    ['a part is missing', members.toSpliced(at1, 1)],
    ['a part occurs twice', members.toSpliced(at1, 0, part1)],
    [
      'the last part of a file is missing',
      members.toSpliced(indexOf('vm5/private.img.003.enc'), 1),
    ],
    [
      'the first part of a file is missing',
      members.toSpliced(indexOf('vm5/private.img.000.enc'), 1),
    ],
    ['a file occurs twice', [...members, memberNamed('vm5/firewall.xml.000.enc')]],
    [
      'a part of another VM takes the place of a part',
      members.with(
        indexOf('vm6/private.img.000.enc'),
        withContent(
          memberNamed('vm6/private.img.000.enc'),
          memberNamed('vm5/private.img.000.enc').content,
        ),
      ),
    ],
    ['a part comes from another backup', members.with(at1, fromOther(part1.name))],
    [
      'the header comes from another backup',
      [...membersOf(other).slice(0, 2), ...members.slice(2)],
    ],
    [
      'the header comes from another backup, but not its MAC',
      members.with(0, fromOther('backup-header')),
    ],
    ['qubes.xml comes from another backup', members.with(2, fromOther('qubes.xml.000.enc'))],
    [
      'qubes.xml is not the first file',
      [...members.slice(0, 2), ...members.slice(3), ...members.slice(2, 3)],
    ],
  ] as const)('%s', async (_, spliced) => {
    expect(await outcome(archiveOf(spliced))).toBeInstanceOf(DamagedError);
  });

  test.each([
    ['2 TiB of memory', 31, 8, 1],
    ['an exponent of 255', 255, 8, 1],
    ['4 GiB of memory', 22, 8, 1],
    ['a large r', 14, 2 ** 31, 1],
    ['a large p', 14, 8, 2 ** 31],
    ['a p that takes 4 GiB', 1, 1, 2 ** 25],
    ['an r of 0', 14, 0, 1],
    ['a p of 0', 14, 8, 0],
    ['an N of 1', 0, 8, 1],
  ])('its key derivation has %s, before anything is derived', async (_, logN, r, p) => {
    for (const name of ['backup-header.hmac', 'qubes.xml.000.enc']) {
      const member = memberNamed(name);
      const changed = withContent(member, withCosts(member.content, logN, r, p));
      const begun = process.cpuUsage();
      expect(await outcome(archiveOf(members.with(indexOf(name), changed)))).toBeInstanceOf(
        DamagedError,
      );
      const { user, system } = process.cpuUsage(begun);
      // The least of these takes ten seconds of processor time, and more.
      expect((user + system) / 1e6).toBeLessThan(5);
    }
  });

  test('ten thousand parts of one byte follow it, and reads what comes before them', async () => {
    const block = Buffer.alloc(512, 'x', 'latin1').fill(0, 1);
    const tiny = Array.from({ length: 10_000 }, (_, i) => ({
      name: '',
      content: block,
      blocks: Buffer.concat([ustar(`vm5/x${i}.000.enc`, 1), block]),
    }));
    const bytes = archiveOf([...members, ...tiny]);
    expect(await outcome(bytes)).toBeInstanceOf(DamagedError);
    const reader = await open(inputOf(bytes, false), PASSPHRASE);
    await reader.qubesXml();
    const paths: string[] = [];
    for await (const { path } of reader.files((each) => each === 'vm6/private.img'))
      paths.push(path);
    expect(paths).toEqual(['vm6/private.img']);
  });

  test.each([
    '../etc/passwd.000.enc',
    '/etc/passwd.000.enc',
    'vm5/../x.000.enc',
    'vm5/...000.enc',
    'vm5/.000.enc',
    'vm5/\x1b[2J.000.enc',
    'vm5/private.img.000',
    'vm5/private.img',
    'vm5/private.img.0.enc',
    'vm5/private.img.0000.enc',
  ])('a member is called %j', async (name) => {
    const evil = { name, content: Buffer.alloc(0), blocks: ustar(name, 0) };
    const error = await outcome(archiveOf([...members, evil]));
    expect(error).toBeInstanceOf(DamagedError);
    expect(String(error)).not.toContain('\x1b');
  });

  test('a part claims to have 4 GiB, before memory is allocated', async () => {
    const huge = {
      name: '',
      content: Buffer.alloc(0),
      blocks: ustar('vm9/private.img.000.enc', 2 ** 32),
    };
    const before = process.memoryUsage().rss;
    expect(await outcome(archiveOf([...members, huge]))).toBeInstanceOf(DamagedError);
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * 2 ** 20);
  });

  test('a part claims to have 100 MiB and ends early', async () => {
    const lying = ustar('vm9/private.img.000.enc', 100 * 2 ** 20);
    const blocks = Buffer.concat([lying, memberNamed('vm5/private.img.000.enc').content]);
    const error = await outcome(archiveOf([...members, { name: '', content: blocks, blocks }]));
    expect(error).toBeInstanceOf(DamagedError);
  });
});

/** A header block for a file of `size` bytes (POSIX ustar). */
function ustar(name: string, size: number): Buffer {
  const block = Buffer.alloc(512);
  block.write(name, 0, 'latin1');
  block.write('0000600\0' + '0000000\0'.repeat(2), 100, 'latin1');
  block.write(`${size.toString(8).padStart(11, '0')}\0${'0'.repeat(11)}\0`, 124, 'latin1');
  block.write('        0', 148, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}
