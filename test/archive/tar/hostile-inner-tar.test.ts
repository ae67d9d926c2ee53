import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { DamagedError } from '../../../shared/errors.ts';
import { chunked, pattern, scratch, sparseContent, sparseFile, tar, unpack } from './gnu-tar.ts';
import { header, octal } from './header.ts';

const END = Buffer.alloc(1024);
const directory = await scratch();

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
}

function pax(records: readonly (readonly [string, string])[], type = 'x'): Buffer {
  const bytes = Buffer.from(records.map(paxRecord).join(''), 'latin1');
  return Buffer.concat([header('pax', bytes.length, { 156: type }), padded(bytes)]);
}

/** A record of less than a thousand bytes; its length includes the digits of the length. */
function paxRecord([keyword, value]: readonly [string, string]): string {
  const rest = ` ${keyword}=${value}\n`;
  return `${rest.length + (rest.length < 9 ? 1 : rest.length < 98 ? 2 : 3)}${rest}`;
}

function sparse10(realSize: string, map: string, dataBlocks: number): Buffer {
  const stored = Buffer.concat([padded(Buffer.from(map)), Buffer.alloc(512 * dataBlocks, 1)]);
  const records = [
    ['GNU.sparse.major', '1'],
    ['GNU.sparse.minor', '0'],
    ['GNU.sparse.name', 'a'],
    ['GNU.sparse.realsize', realSize],
  ] as const;
  return Buffer.concat([pax(records), header('b', stored.length), stored, END]);
}

const SOUND: readonly (readonly [string, Buffer])[] = [
  ['a file', Buffer.concat([header('a', 3), padded(Buffer.from('abc')), END])],
  ['pax sparse 1.0', sparse10('4096', '2\n512\n512\n4096\n0\n', 1)],
  ['old GNU sparse', sparseHeader([1024, 512], 4096, 512)],
];

function sparseHeader(map: number[], realSize: number, stored: number): Buffer {
  const changes = { 156: 'S', 386: octal(...map), 483: octal(realSize) };
  return Buffer.concat([header('a', stored, changes), Buffer.alloc(512, 1), END]);
}

test.each(SOUND)('a tar that the hostile ones are made from is valid: %s', async (_, archive) => {
  expect(await unpack(chunked(archive))).toHaveLength(1);
});

const big = (value: bigint): Buffer => {
  const field = Buffer.alloc(12);
  field[0] = 0x80;
  field.writeBigUInt64BE(value, 4);
  return field;
};

const HOSTILE: readonly (readonly [string, Buffer])[] = [
  ['no bytes', Buffer.alloc(0)],
  ['no end of the archive', header('a', 0)],
  ['one zero block as its end', Buffer.concat([header('a', 0), Buffer.alloc(512)])],
  ['3 MiB of zeros', Buffer.alloc(3 * 2 ** 20)],
  ['a wrong checksum', Buffer.concat([header('a', 0).fill('9', 0, 1), END])],
  ['.. in a name', Buffer.concat([header('a/../../b', 0), END])],
  ['an absolute name', Buffer.concat([header('/etc/passwd', 0), END])],
  ['no name', Buffer.concat([header('', 0), END])],
  ['a NUL in a pax name', Buffer.concat([pax([['path', 'a\0b']]), header('a', 0), END])],
  ['.. in a pax name', Buffer.concat([pax([['path', '../b']]), header('a', 0), END])],
  ['.. in a sparse name', Buffer.concat([pax([['GNU.sparse.name', '..']]), header('a', 0), END])],
  ['a hard link to the outside', Buffer.concat([header('a', 0, { 156: '1', 157: '../x' }), END])],
  ['a link to nothing', Buffer.concat([header('a', 0, { 156: '2' }), END])],
  ['a directory with content', Buffer.concat([header('a', 512, { 156: '5' }), END, END])],
  ['an unknown type', Buffer.concat([header('a', 0, { 156: 'Z' }), END])],
  ['a continuation at the beginning', Buffer.concat([header('a', 0, { 156: 'M' }), END])],
  ['a size of 2^60', Buffer.concat([header('a', 0, { 124: big(2n ** 60n) }), END])],
  ['a size of 2^53 - 1', Buffer.concat([header('a', 0, { 124: big(2n ** 53n - 1n) }), END])],
  ['a negative size', Buffer.concat([header('a', 0, { 124: Buffer.alloc(12, 0xff) }), END])],
  ['a size in words', Buffer.concat([header('a', 0, { 124: 'many' }), END])],
  [
    'a pax size that is too large',
    Buffer.concat([pax([['size', '9'.repeat(16)]]), header('a', 0)]),
  ],
  ['a pax header without a member', Buffer.concat([pax([['path', 'a']]), END])],
  ['two pax headers', Buffer.concat([pax([]), pax([]), header('a', 0), END])],
  ['a huge pax header', Buffer.concat([header('p', 2 ** 21, { 156: 'x' }), Buffer.alloc(2 ** 22)])],
  ['a huge long name', Buffer.concat([header('p', 2 ** 21, { 156: 'L' }), Buffer.alloc(2 ** 22)])],
  [
    'a global pax header with a name',
    Buffer.concat([pax([['path', 'b']], 'g'), header('a', 0), END]),
  ],
  ['an unknown sparse version', Buffer.concat([pax([['GNU.sparse.major', '2']]), header('a', 0)])],
  ['a map without numbers', sparse10('4096', 'x\n', 1)],
  ['a map with an empty line', sparse10('4096', '1\n\n512\n', 1)],
  ['a map with more entries than it says', sparse10('4096', '1\n0\n512\n1024\n512\n', 2)],
  ['a map that runs into the data', sparse10('4096', '9\n0\n512\n', 1)],
  ['a map with a huge number', sparse10('4096', `1\n0\n${'9'.repeat(16)}\n`, 1)],
  ['a map that descends', sparse10('4096', '2\n2048\n512\n0\n512\n', 2)],
  ['a map that overlaps', sparse10('4096', '2\n0\n1024\n512\n512\n', 3)],
  ['a map beyond the end', sparse10('4096', '1\n4096\n512\n', 1)],
  ['a map whose extents do not start at blocks', sparse10('4096', '2\n0\n100\n512\n924\n', 2)],
  ['a map of less data than it has', sparse10('4096', '1\n0\n512\n', 2)],
  ['a map of more data than it has', sparse10('4096', '1\n0\n1024\n', 1)],
  ['no real size', sparse10('', '1\n0\n512\n', 1)],
  ['an old map beyond the end', sparseHeader([4096, 512], 4096, 512)],
  ['an old map of more data than it has', sparseHeader([0, 512, 1024, 512], 4096, 512)],
  ['an old map that descends', sparseHeader([1024, 256, 0, 256], 4096, 512)],
  ['an old map without a size', sparseHeader([0, 512], NaN, 512)],
];

test.each(HOSTILE)('a tar with %s is refused', async (_, archive) => {
  await expect(unpack(chunked(archive))).rejects.toThrow(DamagedError);
});

test.each(['4 0=b\n', '99 a=b\n', '0 a=b\n', 'a=b\n', '6 a=bc', '5 ab\n', '6 a=b\n8 x'])(
  'a tar with the pax header %j is refused',
  async (records) => {
    const bytes = Buffer.from(records);
    const archive = [header('p', bytes.length, { 156: 'x' }), padded(bytes), header('a', 0), END];
    await expect(unpack(chunked(Buffer.concat(archive)))).rejects.toThrow(DamagedError);
  },
);

describe('a real tar', () => {
  const size = 400_000;
  const runs = Array.from({ length: 12 }, (_, i) => ({ offset: i * 32_768, length: 4096 }));
  const archives: Buffer[] = [];

  beforeAll(async () => {
    await sparseFile(join(directory, 'sparse'), size, runs);
    await writeFile(join(directory, 'plain'), pattern(3000));
    for (const format of ['gnu', 'posix']) {
      const names = ['-C', directory, 'plain', 'sparse'];
      archives.push(await tar(['-cSf-', '-b1', `--format=${format}`, ...names]));
    }
  });

  test('is refused if it is truncated after any block, or within one', async () => {
    for (const archive of archives) {
      for (let end = 0; end < archive.length; end += 256) {
        await expect(unpack(chunked(archive.subarray(0, end)))).rejects.toThrow(DamagedError);
      }
      expect(await unpack(chunked(archive))).toHaveLength(2);
    }
  });

  test('with changed bytes is refused, or gives files whose data is within their sizes', async () => {
    const change = fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 }));
    const changes = fc.tuple(fc.nat(1), fc.array(change, { minLength: 1, maxLength: 3 }));
    await fc.assert(
      fc.asyncProperty(changes, async ([which, places]) => {
        const archive = Buffer.from(archives[which] ?? '');
        // Most of it is data: three of four changes are made in the first headers and maps.
        for (const [place, mask] of places) {
          const at = place % 4 === 0 ? place % archive.length : place % 2048;
          archive[at] = (archive[at] ?? 0) ^ mask;
        }
        try {
          for (const member of await unpack(chunked(archive))) {
            // `unpack` has checked the pieces. The six digits of a pax size have no checksum.
            expect(member.realSize).toBeLessThan(1_000_000);
          }
        } catch (error) {
          expect(error).toBeInstanceOf(DamagedError);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('is read as it was packed', async () => {
    for (const archive of archives) {
      const [plain, sparse] = await unpack(chunked(archive));
      expect(plain?.content.equals(pattern(3000))).toBe(true);
      expect(sparse?.content.equals(sparseContent(size, runs))).toBe(true);
    }
  });
});

test('a tar of random bytes is refused', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 512, maxLength: 4096 }), async (noise) => {
      fc.pre(noise.some((byte) => byte !== 0));
      await expect(unpack(chunked(Buffer.from(noise)))).rejects.toThrow(DamagedError);
    }),
  );
});
