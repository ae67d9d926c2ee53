import { describe, expect, it } from 'vitest';
import { parseHeader } from '../../../dom0-agent/archive/coffer1/coffer1-header.ts';
import { MiB } from '../../../shared/sizes.ts';
import { SeriesOfFiles, type TestVolume } from './series-of-files.ts';
import { GRAIN } from './sample.ts';

const PATH = 'vm5/private.img';
/** Each part, of two chunks, goes to a file of its own. */
const EACH_PART = { bytes: 1 };

function volume(chunks: number, seed = 1): TestVolume {
  const bytes = Buffer.concat(
    Array.from({ length: chunks }, (_, i) => Buffer.alloc(GRAIN, `${seed} ${i} chunk`)),
  );
  return { path: PATH, domain: PATH, bytes };
}

function headerOf({ bytes }: { readonly bytes: Buffer }) {
  const text = bytes.toString('latin1', 512, bytes.indexOf('part-size') + 64);
  const lines = text.slice(0, text.lastIndexOf('\n')).split('\n');
  return parseHeader(new Map(lines.map((line) => line.split('=') as [string, string])));
}

describe('a backup that stores data in files before its own', () => {
  it('makes complete files, numbered in the order in which they were made', async () => {
    const series = new SeriesOfFiles();
    const { bytes } = volume(20);
    const made = await series.backup([volume(20)], { ahead: EACH_PART });
    const kinds = series.files.map((file) => headerOf(file).kind);
    expect(kinds).toEqual([...Array<string>(9).fill('data'), 'backup']);
    let previous: unknown;
    for (const [at, { backupId }] of series.files.entries()) {
      const manifest = await series.manifestOf(backupId);
      expect(manifest).toMatchObject({ sequence: at + 1, parts: 1 });
      expect(manifest.previous?.backupId).toBe(previous);
      previous = backupId;
    }
    expect(made.manifest.needs).toHaveLength(9);
    expect(made.written.newChunks).toBe(20);
    expect((await series.restored(made.backupId, PATH)).equals(bytes)).toBe(true);
  });

  it('cannot be restored from a stream, and says so in its header', async () => {
    const series = new SeriesOfFiles();
    const made = await series.backup([volume(4)], { ahead: EACH_PART });
    expect(headerOf(made).streamable).toBe(false);
    const full = await series.backup([volume(4)], { ahead: EACH_PART, full: true });
    expect(headerOf(full).streamable).toBe(true);
    expect(full.manifest.needs).toEqual([]);
  });

  it('makes no such file if all of it is small', async () => {
    const series = new SeriesOfFiles();
    await series.backup([volume(20)], { ahead: { bytes: 1000 * MiB } });
    expect(series.files).toHaveLength(1);
  });

  it('makes no file larger than the file system allows', async () => {
    const series = new SeriesOfFiles();
    const largestFile = 3 * MiB;
    await series.backup([volume(200)], { ahead: { bytes: Infinity, largestFile } });
    const sizes = series.files.map(({ bytes }) => bytes.length);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(largestFile);
    expect(Math.min(...sizes.slice(0, -1))).toBeGreaterThan(MiB);
  });

  it('stores once what two new root volumes have in common', async () => {
    const series = new SeriesOfFiles();
    const [one, other] = ['vm1/root.img', 'vm2/root.img'].map((path) => ({
      ...{ ...volume(12), path, domain: 'roots' },
    }));
    if (one === undefined || other === undefined) throw new Error('there are two');
    const { written, backupId } = await series.backup([one, other], { ahead: EACH_PART });
    expect(written.newChunks).toBe(12);
    expect((await series.restored(backupId, other.path)).equals(one.bytes)).toBe(true);
  });
});

describe('a backup that breaks off after it stored data in such files', () => {
  it.each([
    // The part that is being stored at that moment is still stored.
    ['is interrupted', { interruptedAt: 5 }, 6],
    ['loses its own file', { ownLostAt: 5 }, 5],
    ['cannot store more', { failsAt: 5 }, 4],
  ])(
    'keeps what it has stored if it %s: the next one does not store that again',
    async (_, end, left) => {
      const series = new SeriesOfFiles();
      const ahead = { ...EACH_PART, ...end };
      await expect(series.backup([volume(40)], { ahead })).rejects.toThrow('the test');
      expect(series.files).toHaveLength(left);
      const { written, backupId } = await series.backup([volume(40)], { ahead: EACH_PART });
      expect(written.newChunks).toBe(40 - 2 * left);
      expect((await series.restored(backupId, PATH)).equals(volume(40).bytes)).toBe(true);
      expect(new Set(series.keys).size).toBe(series.keys.length);
    },
  );

  it('completes the file that it is writing after the last complete part, and says so, if that file is large enough', async () => {
    for (const least of [1, 100 * MiB]) {
      const series = new SeriesOfFiles();
      let told = 0;
      const onKeep = (): void => {
        told++;
      };
      const ahead = { bytes: 2 * MiB, least, interruptedAt: 14, onKeep };
      await expect(series.backup([volume(200)], { ahead })).rejects.toThrow('the test');
      const parts = await Promise.all(
        series.files.map(async ({ backupId }) => (await series.manifestOf(backupId)).parts),
      );
      const stored = parts.reduce((sum, each) => sum + each, 0);
      expect(told).toBe(least === 1 ? 1 : 0);
      if (least === 1) expect(stored).toBe(15);
      else expect(stored).toBeLessThan(15);
    }
  });

  it('is of no use for a volume that has changed since', async () => {
    const series = new SeriesOfFiles();
    const ahead = { ...EACH_PART, interruptedAt: 5 };
    await expect(series.backup([volume(40)], { ahead })).rejects.toThrow('the test');
    const { written, backupId, manifest } = await series.backup([volume(40, 2)]);
    expect(written.newChunks).toBe(40);
    expect(manifest.needs).toEqual([]);
    expect((await series.restored(backupId, PATH)).equals(volume(40, 2).bytes)).toBe(true);
  });
});
