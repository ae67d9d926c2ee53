import { describe, expect, it } from 'vitest';
import type { Extent } from '../../../shared/sparse-data.ts';
import { GRAIN } from './sample.ts';
import { SeriesOfFiles } from './series-of-files.ts';

const CHUNKS = 64;
const [path, domain] = ['vm5/private.img', 'home'];

/** How many chunks each part has in a backup of a volume in which these chunks are new since the last one. */
async function partsOf(
  changed: readonly (readonly [first: number, count: number])[],
  { detects = true, full = false } = {},
): Promise<number[]> {
  const series = new SeriesOfFiles();
  const bytes = Buffer.alloc(CHUNKS * GRAIN);
  const write = (first: number, count: number, day: number): void => {
    for (let i = first; i < first + count; i++) {
      bytes.fill(`${day} ${i}`, i * GRAIN, (i + 1) * GRAIN);
    }
  };
  write(0, CHUNKS, 0);
  await series.backup([{ path, domain, bytes: Buffer.from(bytes) }], { chunksInPart: 16 });
  for (const [first, count] of changed) write(first, count, 1);
  const ranges = changed.map(([first, count]): Extent => ({
    offset: first * GRAIN,
    length: count * GRAIN,
  }));
  const volume = { path, domain, bytes, changed: detects ? ranges : undefined };
  const { backupId, written } = await series.backup([volume], { chunksInPart: 16, full });
  expect((await series.restored(backupId, path)).equals(bytes)).toBe(true);
  return Array.from({ length: written.table.length }, (_, row) => written.table.at(row).chunks);
}

describe('what has changed in a volume', () => {
  it('is stored in separate parts where there is a large gap between them', async () => {
    expect(
      await partsOf([
        [0, 4],
        [12, 5],
        [40, 6],
      ]),
    ).toEqual([4, 5, 6]);
  });

  it('is stored in one part where the gaps are small', async () => {
    expect(
      await partsOf([
        [0, 4],
        [11, 4],
        [22, 4],
      ]),
    ).toEqual([12]);
  });

  it('is stored in one part if it is little, as each part has a cost of its own', async () => {
    expect(
      await partsOf([
        [0, 1],
        [20, 2],
        [60, 1],
      ]),
    ).toEqual([4]);
  });

  it('fills parts where there is no gap', async () => {
    expect(await partsOf([[3, 40]])).toEqual([16, 16, 8]);
  });

  it('is separated in the same way if everything has to be read to find it', async () => {
    expect(
      await partsOf(
        [
          [0, 4],
          [32, 5],
        ],
        { detects: false },
      ),
    ).toEqual([4, 5]);
  });

  it('does not matter for a full backup, whose parts are full', async () => {
    expect(await partsOf([[0, 4]], { full: true })).toEqual([16, 16, 16, 16]);
  });
});
