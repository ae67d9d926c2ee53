import { mkdir, mkdtemp, open, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { ExtentList } from '../../../dom0-agent/qubes/pools/extent-list.ts';
import { dataExtents, scanExtents } from '../../../dom0-agent/qubes/pools/data-extents.ts';
import type { Extent } from '../../../shared/sparse-data.ts';
import { FailedError } from '../../../shared/errors.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;
const never = new AbortController().signal;

/** The file system of the disk, and that of the memory if there is one: they report holes differently. */
const ROOTS = [...new Set([tmpdir(), '/dev/shm'])];
const directories = await Promise.all(ROOTS.map((root) => mkdtemp(join(root, 'coffer-extents-'))));
afterAll(() => Promise.all(directories.map((path) => rm(path, { recursive: true }))));
const [disk = ''] = directories;

async function sparseFile(path: string, size: number, runs: readonly Extent[]): Promise<void> {
  await using file = await open(path, 'w');
  await file.truncate(size);
  for (const { offset, length } of runs)
    await file.write(Buffer.alloc(length, 7), 0, length, offset);
}

const at = (offset: number, length: number): Extent => ({ offset, length });

const SHAPES: readonly (readonly [string, number, readonly Extent[]])[] = [
  ['that is empty', 0, []],
  ['that is one hole', 5 * MiB, []],
  ['without holes', MiB, [at(0, MiB)]],
  ['without holes, of odd size', MiB + 7, [at(0, MiB + 7)]],
  ['with a hole at the start', 2 * MiB, [at(MiB, MiB)]],
  ['with a hole in the middle', 2 * MiB, [at(0, 4 * KiB), at(MiB, MiB)]],
  ['with a hole at the end', 2 * MiB, [at(0, 8 * KiB)]],
  ['of 20 GiB', 20 * GiB, [at(64 * KiB, 4 * KiB), at(9 * GiB, 8 * KiB), at(20 * GiB - 4096, 4096)]],
  [
    'with a thousand extents',
    16 * MiB,
    Array.from({ length: 1000 }, (_, i) => at(16 * KiB * i, 4 * KiB)),
  ],
];

describe.each(ROOTS.map((root, i) => [root, directories[i] ?? ''] as const))(
  'the extents of a file in %s',
  (_, directory) => {
    test.each(SHAPES)('%s are found', async (name, size, runs) => {
      const path = join(directory, name);
      await sparseFile(path, size, runs);
      expect(await dataExtents(path, size, never)).toEqual(runs);
    });
  },
);

test.each(['-rf', '--checkpoint-action=exec=false', 'new\nline', 'ключ', 'n'.repeat(200), '*'])(
  'the extents of a file called %j are found',
  async (name) => {
    const path = join(disk, name);
    await sparseFile(path, 2 * MiB, [at(MiB, 4 * KiB)]);
    expect(await dataExtents(path, 2 * MiB, never)).toEqual([at(MiB, 4 * KiB)]);
  },
);

test('the extents of a link and of a descriptor are found', async () => {
  const runs = [at(MiB, 4 * KiB)];
  await mkdir(join(disk, 'sub'));
  const path = join(disk, 'sub', 'image');
  await sparseFile(path, 2 * MiB, runs);
  await symlink('image', join(disk, 'sub', 'link'));
  expect(await dataExtents(join(disk, 'sub', 'link'), 2 * MiB, never)).toEqual(runs);
  await using file = await open(path);
  const descriptor = `/proc/${process.pid}/fd/${file.fd}`;
  expect(await dataExtents(descriptor, 2 * MiB, never)).toEqual(runs);
});

test('TAR_OPTIONS in the environment has no effect', async () => {
  const path = join(disk, 'environment');
  await sparseFile(path, 2 * MiB, [at(MiB, 4 * KiB)]);
  process.env['TAR_OPTIONS'] = '--format=posix --no-such-option';
  try {
    expect(await dataExtents(path, 2 * MiB, never)).toEqual([at(MiB, 4 * KiB)]);
  } finally {
    delete process.env['TAR_OPTIONS'];
  }
});

describe('finding extents fails', () => {
  test('if the file is missing', async () => {
    await expect(dataExtents(join(disk, 'nothing'), MiB, never)).rejects.toThrow(FailedError);
  });

  test.each([2 * MiB - 1, 2 * MiB + 1])(
    'if the given size is %i for a file of 2 MiB',
    async (size) => {
      const path = join(disk, 'size');
      await sparseFile(path, 2 * MiB, []);
      await truncate(path, 2 * MiB);
      await expect(dataExtents(path, size, never)).rejects.toThrow(FailedError);
    },
  );

  test('with the reason of the signal if that is aborted', async () => {
    const path = join(disk, 'signal');
    await writeFile(path, Buffer.alloc(MiB, 1));
    const stopped = AbortSignal.abort(new Error('stopped'));
    await expect(dataExtents(path, MiB, stopped)).rejects.toThrow('stopped');
    const stop = new AbortController();
    const asked = dataExtents(path, MiB, stop.signal);
    stop.abort(new Error('stopped'));
    await expect(asked).rejects.toThrow('stopped');
    await expect(scanExtents(() => Promise.resolve(), MiB, stop.signal)).rejects.toThrow('stopped');
  });

  test('with an error that says so if tar is not installed', async () => {
    const path = join(disk, 'without-tar');
    await sparseFile(path, 2 * MiB, [at(0, 4096)]);
    const { PATH } = process.env;
    process.env['PATH'] = join(disk, 'sub');
    try {
      await expect(dataExtents(path, 2 * MiB, never)).rejects.toThrow(/tar is not installed here/);
    } finally {
      process.env['PATH'] = PATH;
    }
  });
});

describe('scanExtents', () => {
  const scan = (content: Buffer) => {
    const read = (buffer: Buffer, offset: number): Promise<void> => {
      content.copy(buffer, 0, offset);
      return Promise.resolve();
    };
    return scanExtents(read, content.length, never);
  };

  test('finds the blocks of 64 KiB that are not zero', async () => {
    const places = fc.array(fc.nat(3 * MiB + 999), { maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(places, async (bytes) => {
        const content = Buffer.alloc(3 * MiB + 1000);
        for (const place of bytes) content[place] = 1;
        const extents = await scan(content);
        const grains = new Set(bytes.map((place) => Math.floor(place / (64 * KiB))));
        const found = new Set<number>();
        let end = -1;
        for (const { offset, length } of extents) {
          expect(offset).toBeGreaterThan(end);
          end = offset + length;
          for (let place = offset; place < end; place += 64 * KiB) found.add(place / (64 * KiB));
        }
        expect(end).toBeLessThanOrEqual(content.length);
        expect(found).toEqual(grains);
      }),
      { numRuns: 50 },
    );
  });

  test('joins adjacent extents, even across chunks', async () => {
    expect(await scan(Buffer.alloc(3 * MiB + 5, 1))).toEqual([at(0, 3 * MiB + 5)]);
    expect(await scan(Buffer.alloc(3 * MiB + 5))).toEqual([]);
    expect(await scan(Buffer.alloc(0))).toEqual([]);
  });
});

test('a list of extents has a limited length, and still covers all data', () => {
  const list = new ExtentList(10);
  const added = Array.from({ length: 1000 }, (_, i) => at(100 * i + (i % 7), 50));
  for (const { offset, length } of added) list.add(offset, length);
  expect(list.extents.length).toBeLessThanOrEqual(10);
  const covers = ({ offset, length }: Extent) =>
    list.extents.some((one) => one.offset <= offset && offset + length <= one.offset + one.length);
  expect(added.every(covers)).toBe(true);
});
