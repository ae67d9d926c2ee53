import { open, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { plainTar, sparseTar } from '../../../dom0-agent/archive/tar/inner-writer.ts';
import { type Run, collect, pattern, scratch, sparseContent, tar, unpack } from './gnu-tar.ts';
import { SHAPES } from './shapes.ts';

const GiB = 2 ** 30;
const directory = await scratch();

/** Reads pieces of `content`, as of a volume. */
function readFrom(content: Buffer) {
  return (buffer: Buffer, offset: number): Promise<void> => {
    content.copy(buffer, 0, offset);
    return Promise.resolve();
  };
}

describe('GNU tar reads what coffer writes:', () => {
  test.each(SHAPES)('$name', async ({ name, size, runs }) => {
    const path = `vm5/${name}.img`;
    const content = sparseContent(size, runs);
    await tar(['-xf-', '-C', directory], sparseTar(path, size, runs, readFrom(content)));
    const file = join(directory, path);
    expect(content.equals(await readFile(file))).toBe(true);
    const data = runs.reduce((sum, run) => sum + run.length, 0);
    expect((await stat(file)).blocks * 512).toBeLessThanOrEqual(data + 4096 * (runs.length + 1));
  });

  test('a sparse file, which it lists without a warning', async () => {
    const [shape] = SHAPES.filter(({ name }) => name === 'holes everywhere');
    const { size, runs } = shape ?? { size: 0, runs: [] };
    const archive = sparseTar('vm5/x', size, runs, readFrom(sparseContent(size, runs)));
    const listing = await tar(['-tvf-', '--utc', '--numeric-owner'], archive);
    expect(listing.toString()).toMatch(/^-rw------- 0\/0 +4194404 1970-01-01 00:00 vm5\/x\n$/);
  });

  test('a file of 20 GiB with data at both ends', async () => {
    const size = 20 * GiB;
    const runs = [
      { offset: 0, length: 4096 },
      { offset: 12 * GiB, length: 8192 },
      { offset: size - 512, length: 512 },
    ];
    const read = (buffer: Buffer, offset: number): Promise<void> => {
      pattern(buffer.length, offset).copy(buffer);
      return Promise.resolve();
    };
    await tar(['-xf-', '-C', directory], sparseTar('huge', size, runs, read));
    await using file = await open(join(directory, 'huge'));
    expect((await file.stat()).size).toBe(size);
    for (const { offset, length } of runs) {
      const { buffer } = await file.read(Buffer.alloc(length), 0, length, offset);
      expect(buffer.equals(pattern(length, offset))).toBe(true);
    }
  });

  test.each([0, 4096])('more than 8 GiB of data after a hole of %i bytes', async (hole) => {
    const length = 9 * GiB;
    const runs = [{ offset: hole, length }];
    const archive = sparseTar('vm5/x', length + hole, runs, () => Promise.resolve());
    // Only the beginning is given to tar, which therefore ends with an error after it has listed the member.
    const head: Buffer[] = [];
    for await (const chunk of archive) {
      head.push(chunk);
      if (chunk.length === 2 ** 20) break;
    }
    const listing = await tar(['-tvf-'], head, [2]);
    expect(listing.toString()).toContain(` ${length + hole} `);
    expect(listing.toString()).toContain('vm5/x');
  });

  test('a small file and a sparse one with long names', async () => {
    const path = `${'d'.repeat(90)}/${'n'.repeat(90)}`;
    await tar(['-xf-', '-C', directory], plainTar(path, Buffer.from('<firewall/>\n')));
    expect(await readFile(join(directory, path), 'utf8')).toBe('<firewall/>\n');
    const content = pattern(4096);
    const archive = sparseTar(path, 8192, [{ offset: 0, length: 4096 }], readFrom(content));
    await tar(['-xf-', '-C', directory], archive);
    expect((await readFile(join(directory, path))).subarray(0, 4096).equals(content)).toBe(true);
  });
});

const runsWithin = (size: number) =>
  fc
    .uniqueArray(fc.integer({ min: 0, max: size }), { maxLength: 40 })
    .map((points) => points.sort((a, b) => a - b))
    .map((points) => {
      const runs: Run[] = [];
      for (let i = 0; i + 1 < points.length; i += 2) {
        const [offset = 0, end = 0] = points.slice(i, i + 2);
        runs.push({ offset, length: end - offset });
      }
      return runs;
    });
const anyShape = fc
  .integer({ min: 0, max: 60_000 })
  .chain((size) => fc.record({ size: fc.constant(size), runs: runsWithin(size) }));

test('untar reads what sparseTar writes, whatever the extents', async () => {
  await fc.assert(
    fc.asyncProperty(anyShape, async ({ size, runs }) => {
      const content = sparseContent(size, runs);
      const [member, ...others] = await unpack(sparseTar('a', size, runs, readFrom(content)));
      expect(others).toEqual([]);
      expect(member?.content.equals(content)).toBe(true);
    }),
    { numRuns: 300 },
  );
});

test('sparseTar writes the same bytes for the same content', async () => {
  const { size, runs } = SHAPES.at(-1) ?? { size: 0, runs: [] };
  const content = sparseContent(size, runs);
  const first = await collect(sparseTar('a', size, runs, readFrom(content)));
  const second = await collect(sparseTar('a', size, runs, readFrom(content)));
  expect(first.equals(second)).toBe(true);
});

describe('sparseTar', () => {
  const everything = [{ offset: 0, length: 8 * 2 ** 20 }];

  test('reads one chunk ahead while the consumer works, and no more', async () => {
    let reads = 0;
    const archive = sparseTar('a', 8 * 2 ** 20, everything, () => {
      reads++;
      return Promise.resolve();
    });
    await archive.next();
    await archive.next();
    expect(reads).toBe(2);
    await archive.next();
    expect(reads).toBe(3);
    await archive.return();
    expect(reads).toBe(3);
  });

  test('throws the error of a chunk that is read ahead when it is asked for that chunk', async () => {
    const archive = sparseTar('a', 8 * 2 ** 20, everything, (_, offset) =>
      offset === 0 ? Promise.resolve() : Promise.reject(new Error('the disk broke')),
    );
    await archive.next();
    await archive.next();
    await new Promise((resolve) => setTimeout(resolve, 10));
    await expect(archive.next()).rejects.toThrow('the disk broke');
  });

  test('waits for a read that is under way when the consumer stops', async () => {
    let underWay = 0;
    const archive = sparseTar('a', 8 * 2 ** 20, everything, async () => {
      underWay++;
      await new Promise((resolve) => setTimeout(resolve, 20));
      underWay--;
    });
    await archive.next();
    await archive.next();
    expect(underWay).toBe(1);
    await archive.return();
    expect(underWay).toBe(0);
  });

  test.each([
    [[{ offset: 0, length: 9 * 2 ** 20 }]],
    [
      [
        { offset: 4096, length: 4096 },
        { offset: 0, length: 4096 },
      ],
    ],
    [[{ offset: 0, length: -1 }]],
  ])('refuses impossible extents: %j', async (extents) => {
    const archive = sparseTar('a', 8 * 2 ** 20, extents, () => Promise.resolve());
    await expect(collect(archive)).rejects.toThrow(RangeError);
  });
});
