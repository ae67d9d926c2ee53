import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { type FileExtent, extentsOf } from '../../../dom0-agent/qubes/changes/fiemap.ts';
import { spaceOfCopies } from '../../../dom0-agent/qubes/changes/reflink-copies.ts';
import { FailedError } from '../../../shared/errors.ts';
import { runnerBehind } from '../../../shared/run-program.ts';

/** Output of filefrag 1.47 for a copy on XFS, part of which was overwritten. */
const ON_XFS = `Filesystem type is: 58465342
File size of /pool/b is 10485760 (2560 blocks of 4096 bytes)
 ext:     logical_offset:        physical_offset: length:   expected: flags:
   0:        0..       9:         24..        33:     10:             shared
   1:       10..      10:        802..       802:      1:         34:
   2:       11..     255:         35..       279:    245:        803: shared
   3:      272..     767:        296..       791:    496:             shared
   4:     2048..    2063:       2072..      2087:     16:             last,unwritten
/pool/b: 3 extents found
`;

async function extents(printed: string): Promise<FileExtent[]> {
  const found: FileExtent[] = [];
  async function* run(program: string, args: readonly string[]) {
    expect([program, ...args]).toEqual(['filefrag', '-s', '-v', '--', '/pool/b']);
    // Two batches.
    const lines = await Promise.resolve(printed.split('\n'));
    yield lines.slice(0, 5);
    yield lines.slice(5);
  }
  for await (const batch of extentsOf('/pool/b', run)) found.push(...batch);
  return found;
}

const withLine = (line: string): string => ON_XFS.replace(/^ {3}2:.*$/m, line);

describe('the extents of a file in the output of filefrag', () => {
  it('are read in bytes, with their places, and whether they are shared or unwritten', async () => {
    const block = (first: number, count: number, place: number, isShared: boolean, stamp = 0) => ({
      ...{ offset: first * 4096, length: count * 4096, place: place * 4096, isShared, stamp },
    });
    expect(await extents(ON_XFS)).toEqual([
      block(0, 10, 24, true),
      block(10, 1, 802, false),
      block(11, 245, 35, true),
      block(272, 496, 296, true),
      block(2048, 16, 2072, false, 1),
    ]);
  });

  it('are none if the file has no data', async () => {
    expect(await extents(ON_XFS.replace(/^ {3}\d:.*\n/gm, ''))).toEqual([]);
  });

  it.each([
    'encoded',
    'encrypted',
    'inline',
    'not_aligned',
    'delalloc',
    'unknown_loc',
    'tail_packed',
    '0x4000',
  ])('have no place if their flags include %s', async (flag) => {
    const line = `   2:       11..     255:         35..       279:    245:        803: shared,${flag}`;
    expect((await extents(withLine(line)))[2]?.place).toBeUndefined();
  });

  it.each([
    [
      'that overlap',
      '   2:       10..     254:         35..       279:    245:        803: shared',
    ],
    [
      'of no length',
      '   2:       11..      11:          0..         0:      0:             delalloc',
    ],
    [
      'whose numbers disagree',
      '   2:       11..     255:         35..       280:    245:             ',
    ],
    [
      'with numbers that are too large',
      '   2:  9007199254740991..  9007199254740991:  1..  1:  1:  ',
    ],
  ])('are refused if there are some %s', async (_, line) => {
    await expect(extents(withLine(line))).rejects.toThrow(FailedError);
  });

  it.each([
    ['another file system', ON_XFS.replace('58465342', 'ca451a4e')],
    ['no file system', ON_XFS.replace(/^Filesystem.*\n/, '')],
    ['no block size', ON_XFS.replace(/^File size.*\n/m, '')],
    ['no line', ''],
  ])('are refused if the output has %s', async (_, printed) => {
    await expect(extents(printed)).rejects.toThrow(FailedError);
  });
});

describe('the space of the copies in a pool', () => {
  const told: string[] = [];
  async function* filefrag(_: string, args: readonly string[]) {
    told.push(args.at(-1) ?? '');
    yield await Promise.resolve(ON_XFS.split('\n'));
  }

  it('is that of the extents that no other file shares, in the copies of all series', async () => {
    const pool = await mkdtemp(join(tmpdir(), 'coffer-pool-'));
    const copies = ['one/a.1.img', 'one/b.1.img', 'two/a.2.img'];
    for (const copy of copies) {
      const file = join(pool, '.coffer', copy);
      await mkdir(join(file, '..'), { recursive: true });
      await writeFile(file, '');
    }
    expect(await spaceOfCopies(pool, runnerBehind([]), filefrag)).toBe(3 * (1 + 16) * 4096);
    expect(told.sort()).toEqual(copies.map((copy) => join(pool, '.coffer', copy)));
    await rm(pool, { recursive: true });
  });

  it('is 0 in a pool without copies', async () => {
    const pool = await mkdtemp(join(tmpdir(), 'coffer-pool-'));
    expect(await spaceOfCopies(pool, runnerBehind([]), filefrag)).toBe(0);
    await rm(pool, { recursive: true });
  });
});
