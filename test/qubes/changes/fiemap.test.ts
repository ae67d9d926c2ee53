import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { type FileExtent, extentsOf } from '../../../dom0-agent/qubes/changes/fiemap.ts';
import { spaceOfCopies } from '../../../dom0-agent/qubes/changes/reflink-copies.ts';
import { FailedError } from '../../../shared/errors.ts';
import { runnerBehind } from '../../../shared/run-program.ts';

/** As filefrag 1.47 printed it about a copy on XFS, part of which was overwritten. */
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
    // In two batches, somewhere.
    const lines = await Promise.resolve(printed.split('\n'));
    yield lines.slice(0, 5);
    yield lines.slice(5);
  }
  for await (const batch of extentsOf('/pool/b', run)) found.push(...batch);
  return found;
}

const withLine = (line: string): string => ON_XFS.replace(/^ {3}2:.*$/m, line);

describe('the extents of a file, as filefrag tells them', () => {
  it('are in bytes, with their places, whether other files share them, and whether they read as zeros', async () => {
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

  it('are none for a file without data', async () => {
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
  ])('have no place that can be relied on when they are said to be %s', async (flag) => {
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
    ['beyond all numbers', '   2:  9007199254740991..  9007199254740991:  1..  1:  1:  '],
  ])('are refused where some are told %s', async (_, line) => {
    await expect(extents(withLine(line))).rejects.toThrow(FailedError);
  });

  it.each([
    ['another file system', ON_XFS.replace('58465342', 'ca451a4e')],
    ['none', ON_XFS.replace(/^Filesystem.*\n/, '')],
    ['no size of blocks', ON_XFS.replace(/^File size.*\n/m, '')],
    ['nothing at all', ''],
  ])('are refused where %s is told', async (_, printed) => {
    await expect(extents(printed)).rejects.toThrow(FailedError);
  });
});

describe('the space that only the copies in a pool hold', () => {
  const told: string[] = [];
  async function* filefrag(_: string, args: readonly string[]) {
    told.push(args.at(-1) ?? '');
    yield await Promise.resolve(ON_XFS.split('\n'));
  }

  it('is that of the extents which no other file has, in the copies of all series', async () => {
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

  it('is none in a pool without copies', async () => {
    const pool = await mkdtemp(join(tmpdir(), 'coffer-pool-'));
    expect(await spaceOfCopies(pool, runnerBehind([]), filefrag)).toBe(0);
    await rm(pool, { recursive: true });
  });
});
