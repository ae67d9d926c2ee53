import { execFileSync } from 'node:child_process';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { untar } from '../../../dom0-agent/archive/tar/inner-reader.ts';
import { DamagedError } from '../../../shared/errors.ts';
import {
  type Run,
  chunked,
  pattern,
  scratch,
  sparseContent,
  sparseFile,
  tar,
  unpack,
} from './gnu-tar.ts';
import { SHAPES } from './shapes.ts';

const directory = await scratch();

beforeAll(async () => {
  for (const { name, size, runs } of SHAPES) await sparseFile(join(directory, name), size, runs);
});

const FORMATS = [
  ['old GNU sparse', ['--format=gnu', '--sparse']],
  ['pax sparse 1.0', ['--format=posix', '--sparse', '--sparse-version=1.0']],
  ['pax sparse 0.1', ['--format=posix', '--sparse', '--sparse-version=0.1']],
  ['pax sparse 0.0', ['--format=posix', '--sparse', '--sparse-version=0.0']],
  ['ustar, not sparse', ['--format=ustar']],
  ['v7, not sparse', ['--format=v7']],
] as const;

describe.each(FORMATS)('untar reads what GNU tar writes: %s', (_, options) => {
  test.each(SHAPES)('$name', async ({ name, size, runs }) => {
    const archive = await tar(['-cf-', ...options, '-C', directory, name]);
    const [member, ...others] = await unpack(chunked(archive, 7001));
    expect(others).toEqual([]);
    expect(member).toMatchObject({ path: name, type: 'file', realSize: size });
    expect(member?.content.equals(sparseContent(size, runs))).toBe(true);
  });
});

test('untar reads holes that GNU tar found by reading, as it does on block devices', async () => {
  const runs = Array.from({ length: 40 }, (_, i) => ({ offset: 9728 * i, length: 512 }));
  await sparseFile(join(directory, 'grain'), 400_000, runs);
  for (const format of ['gnu', 'posix']) {
    const options = [`--format=${format}`, '--sparse', '--hole-detection=raw'];
    const archive = await tar(['-cf-', ...options, '-C', directory, 'grain']);
    const [member] = await unpack(chunked(archive));
    expect(member?.content.equals(sparseContent(400_000, runs))).toBe(true);
  }
});

test.each(['gnu', 'posix'])(
  'untar reads a file of 20 GiB that is mostly holes: %s',
  async (format) => {
    const size = 20 * 2 ** 30;
    const runs: Run[] = [
      { offset: 4096, length: 4096 },
      { offset: 9 * 2 ** 30, length: 8192 },
      { offset: size - 4096, length: 4096 },
    ];
    await sparseFile(join(directory, 'huge'), size, runs);
    const archive = await tar(['-cSf-', `--format=${format}`, '-C', directory, 'huge']);
    const seen: Run[] = [];
    for await (const member of untar(chunked(archive, 4096 * 4))) {
      expect(member.realSize).toBe(size);
      for await (const { offset, bytes } of member.pieces()) {
        const run = runs.find((one) => offset >= one.offset && offset < one.offset + one.length);
        const whole = pattern(run?.length ?? 0, run?.offset);
        const from = offset - (run?.offset ?? 0);
        expect(whole.subarray(from, from + bytes.length).equals(bytes)).toBe(true);
        seen.push({ offset, length: bytes.length });
      }
    }
    expect(seen.reduce((sum, { length }) => sum + length, 0)).toBe(16_384);
  },
);

test('untar reads a size above 8 GiB, in base 256 and in a pax record', async () => {
  const size = 9 * 2 ** 30;
  await sparseFile(join(directory, 'full'), size, []);
  for (const format of ['gnu', 'posix']) {
    const command = 'tar -cf- --format="$0" -C "$1" full | head -c 4096';
    const head = execFileSync('sh', ['-c', command, format, directory]);
    const { value } = await untar(chunked(head)).next();
    expect(value).toMatchObject({ path: 'full', realSize: size });
  }
});

describe.each(['gnu', 'posix'])('untar reads a directory tree: %s', (format) => {
  const home = join(directory, `home-${format}`);
  const long = 'n'.repeat(120);

  test('with long and odd names, links and special files', async () => {
    await mkdir(join(home, 'sub', long), { recursive: true });
    await writeFile(join(home, 'sub', long, long), 'long');
    await writeFile(Buffer.from(`${home}/caf\xe9`, 'latin1'), 'not UTF-8');
    await writeFile(join(home, '-rf\n*'), 'strange');
    await writeFile(join(home, 'ключ'), 'UTF-8');
    await symlink(`/${'t'.repeat(150)}`, join(home, 'link'));
    execFileSync('ln', [join(home, 'ключ'), join(home, 'zz-hard')]);
    execFileSync('mkfifo', [join(home, 'pipe')]);
    const archive = await tar(['-cSf-', `--format=${format}`, '--sort=name', '-C', home, '.']);
    const members = await unpack(chunked(archive));
    const find = (name: string) =>
      members.find(({ path }) => path === Buffer.from(name).toString('latin1'));
    expect(members[0]).toMatchObject({ path: '.', type: 'directory' });
    expect(find(`sub/${long}/${long}`)).toMatchObject({
      content: Buffer.from('long'),
    });
    expect(members.find(({ path }) => path === 'caf\xe9')?.content.toString()).toBe('not UTF-8');
    expect(find('-rf\n*')?.content.toString()).toBe('strange');
    expect(find('link')).toMatchObject({ type: 'symlink', realSize: 0 });
    expect(find('pipe')).toMatchObject({ type: 'special', realSize: 0 });
    expect(members.filter(({ type }) => type === 'hardlink')).toHaveLength(1);
  });
});

test('untar skips members that are not read, or not to their end', async () => {
  for (const name of ['a', 'b', 'c']) await writeFile(join(directory, name), pattern(200_000));
  const archive = await tar(['-cf-', '-C', directory, 'a', 'b', 'c']);
  const seen: string[] = [];
  for await (const member of untar(chunked(archive, 1000))) {
    seen.push(member.path);
    if (member.path !== 'b') continue;
    for await (const { bytes } of member.pieces()) {
      expect(bytes.length).toBeGreaterThan(0);
      break;
    }
    expect(() => member.pieces()).toThrow('once');
  }
  expect(seen).toEqual(['a', 'b', 'c']);
});

test('untar reads concatenated tars with zero blocks between them', async () => {
  await writeFile(join(directory, 'a'), 'a');
  const one = await tar(['-cf-', '-C', directory, 'a']);
  const members = await unpack(chunked(Buffer.concat([one, one])));
  expect(members.map(({ path }) => path)).toEqual(['a', 'a']);
});

test('untar closes its source when nobody reads on', async () => {
  await writeFile(join(directory, 'a'), 'a');
  const archive = await tar(['-cf-', '-C', directory, 'a']);
  let returned = false;
  async function* source(): AsyncGenerator<Buffer> {
    try {
      yield* chunked(archive, 512);
    } finally {
      returned = true;
    }
  }
  for await (const member of untar(source())) {
    expect(member.path).toBe('a');
    break;
  }
  expect(returned).toBe(true);
});

test('untar reads an archive without members', async () => {
  expect(await unpack(chunked(Buffer.alloc(10_240)))).toEqual([]);
});

test('untar fails with a DamagedError that names the member', async () => {
  await writeFile(join(directory, 'a'), pattern(5000));
  const archive = await tar(['-cf-', '-C', directory, 'a']);
  await expect(unpack(chunked(archive.subarray(0, 2000)))).rejects.toThrow(
    new DamagedError('a ends too early: it is cut short'),
  );
});
