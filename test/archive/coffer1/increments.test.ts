import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CheckOfChanges } from '../../../dom0-agent/archive/content.ts';
import type { Extent } from '../../../shared/sparse-data.ts';
import { SeriesOfFiles, type TestVolume } from './series-of-files.ts';
import { GRAIN } from './sample.ts';

const PATHS = ['vm1/root.img', 'vm2/root.img', 'vm5/private.img'] as const;
const domainOf = (path: string): string => (path.endsWith('/root.img') ? 'roots' : path);

/** What happens to a volume in a day. */
type Change =
  | { readonly kind: 'write'; readonly at: number; readonly length: number; readonly fill: number }
  | { readonly kind: 'resize'; readonly size: number }
  | { readonly kind: 'clone'; readonly of: number }
  | { readonly kind: 'nothing' };

/** Some volumes end in the middle of a chunk, and some writes change only a few bytes. */
const size = fc.integer({ min: 0, max: 9 * GRAIN });
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({
    kind: fc.constant('write' as const),
    at: fc.nat(9 * GRAIN),
    length: fc.oneof(fc.integer({ min: 1, max: 4 * GRAIN }), fc.integer({ min: 1, max: 9 })),
    // Zeros as often as anything else, and the same content in several places.
    fill: fc.constantFrom(0, 0, 1, 2, 3),
  }),
  fc.record({ kind: fc.constant('resize' as const), size }),
  fc.record({ kind: fc.constant('clone' as const), of: fc.nat(PATHS.length - 1) }),
  fc.constant({ kind: 'nothing' as const }),
);
const day = fc.record({
  changes: fc.array(fc.tuple(fc.nat(PATHS.length - 1), change), { maxLength: 4 }),
  full: fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, fc.constant(true)),
  /** Whether it is known what changed. */
  detects: fc.boolean(),
  /** Data is stored in files before the backup's own. */
  ahead: fc.boolean(),
  /** A first attempt of the backup is interrupted after so many parts. */
  interruptedAt: fc.oneof(fc.constant(undefined), fc.nat(4)),
  /** Volumes that are left out of the backup. */
  without: fc.subarray([...PATHS], { maxLength: 2 }),
});

/** Volumes that change from day to day, and what may have changed in each since it was last backed up. */
class Disks {
  readonly #bytes = new Map<string, Buffer>();
  readonly #changed = new Map<string, Extent[]>();

  constructor(sizes: readonly number[]) {
    for (const [place, path] of PATHS.entries()) {
      this.#bytes.set(path, Buffer.alloc(sizes[place] ?? 0, `${place}${path}`));
      this.#changed.set(path, []);
    }
  }

  apply(place: number, what: Change): void {
    const path = PATHS[place] ?? PATHS[0];
    const bytes = this.#of(path);
    switch (what.kind) {
      case 'write': {
        const end = Math.min(what.at + what.length, bytes.length);
        if (end <= what.at) return;
        bytes.fill(what.fill, what.at, end);
        this.#changed.get(path)?.push({ offset: what.at, length: end - what.at });
        break;
      }
      case 'resize': {
        const resized = Buffer.alloc(what.size);
        bytes.copy(resized);
        this.#bytes.set(path, resized);
        // A volume may shrink and grow again until the next backup.
        const [offset, end] = [what.size, bytes.length].toSorted((one, other) => one - other);
        if (offset !== undefined && end !== undefined) {
          this.#changed.get(path)?.push({ offset, length: end - offset });
        }
        break;
      }
      case 'clone': {
        const copy = Buffer.from(this.#of(PATHS[what.of] ?? PATHS[0]));
        this.#bytes.set(path, copy);
        this.#changed.get(path)?.push({ offset: 0, length: copy.length });
        break;
      }
      case 'nothing':
    }
  }

  volumes(paths: readonly string[], detects: boolean): TestVolume[] {
    return paths.map((path) => {
      const bytes = Buffer.from(this.#of(path));
      const ranges = (this.#changed.get(path) ?? []).toSorted(
        (one, other) => one.offset - other.offset,
      );
      this.#changed.set(path, []);
      const changed = detects ? merged(ranges, bytes.length) : undefined;
      return { path, domain: domainOf(path), bytes, changed };
    });
  }

  #of(path: string): Buffer {
    return this.#bytes.get(path) ?? Buffer.alloc(0);
  }
}

/** Ascending and disjoint, as a detector reports them. */
function merged(ranges: readonly Extent[], size: number): Extent[] {
  const found: { offset: number; length: number }[] = [];
  for (const { offset, length } of ranges) {
    const end = Math.min(offset + length, size);
    const last = found.at(-1);
    if (last !== undefined && offset <= last.offset + last.length) {
      last.length = Math.max(last.length, end - last.offset);
    } else if (end > offset) {
      found.push({ offset, length: end - offset });
    }
  }
  return found;
}

describe('a series', () => {
  it('restores the volumes of every day unchanged, whatever happens between the days', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.tuple(size, size, size),
        fc.array(day, { minLength: 1, maxLength: 6 }),
        async (sizes, days) => {
          const disks = new Disks(sizes);
          const series = new SeriesOfFiles();
          const made: { backupId: string; volumes: TestVolume[] }[] = [];
          for (const { changes, full, detects, ahead, interruptedAt, without } of days) {
            for (const [place, what] of changes) disks.apply(place, what);
            const paths = PATHS.filter((path) => !without.includes(path));
            const volumes = disks.volumes(paths, detects);
            const small = ahead ? { bytes: 1 } : undefined;
            if (small !== undefined && interruptedAt !== undefined) {
              // It succeeds if it has fewer parts than that to store.
              await Promise.allSettled([
                series.backup(volumes, { ahead: { ...small, interruptedAt } }),
              ]);
            }
            const options = { full, ahead: small };
            const { backupId, manifest, written } = await series.backup(volumes, options);
            made.push({ backupId, volumes });
            expect(manifest.sequence).toBe(series.files.length);
            expect(manifest.needs.map((file) => file.backupId)).toEqual(written.needs);
            if (full) expect(manifest.needs).toEqual([]);
          }
          for (const { backupId, volumes } of made) {
            for (const { path, bytes } of volumes) {
              const restored = await series.restored(backupId, path);
              expect(restored.equals(bytes), `${path} of ${backupId}`).toBe(true);
            }
          }
          expect(new Set(series.keys).size).toBe(series.keys.length);
        },
      ),
      { numRuns: 25 },
    );
  }, 120_000);

  const noise = (chunks: number, seed: number): Buffer =>
    Buffer.concat(
      Array.from({ length: chunks }, (_, i) => Buffer.alloc(GRAIN, `${seed} ${i} chunk`)),
    );
  const volume = (bytes: Buffer, more: Partial<TestVolume> = {}): TestVolume => ({
    ...{ path: 'vm5/private.img', domain: 'vm5/private.img', bytes, ...more },
  });

  it('stores what changed, and refers to the rest', async () => {
    const series = new SeriesOfFiles();
    const bytes = noise(20, 1);
    const first = await series.backup([volume(bytes)]);
    expect(first.written.newChunks).toBe(20);
    const changed = Buffer.from(bytes);
    changed.fill('new', 3 * GRAIN, 5 * GRAIN);
    const second = await series.backup([volume(changed)]);
    expect(second.written.newChunks).toBe(2);
    expect(second.bytes.length).toBeLessThan(first.bytes.length / 4);
    expect(second.manifest.needs).toEqual([{ backupId: first.backupId, parts: 10 }]);
    expect(second.manifest.previous).toEqual(first.written.name);
    expect([...second.written.changed]).toEqual(['of-vm5/private.img']);
    expect((await series.restored(second.backupId, 'vm5/private.img')).equals(changed)).toBe(true);
  });

  it('stores nothing of a volume that did not change, and does not read it if that is known', async () => {
    const series = new SeriesOfFiles();
    const bytes = noise(20, 1);
    await series.backup([volume(bytes)]);
    const second = await series.backup([volume(bytes, { changed: [] })]);
    expect(second).toMatchObject({ read: 0, written: { newChunks: 0, changed: new Set() } });
    const third = await series.backup([volume(bytes)]);
    expect(third).toMatchObject({ read: bytes.length, written: { newChunks: 0 } });
    expect((await series.restored(third.backupId, 'vm5/private.img')).equals(bytes)).toBe(true);
  });

  it('reads only what may have changed', async () => {
    const series = new SeriesOfFiles();
    const bytes = noise(20, 1);
    await series.backup([volume(bytes)]);
    bytes.fill('new', 7 * GRAIN + 5, 7 * GRAIN + 9);
    const changed = [{ offset: 7 * GRAIN + 5, length: 4 }];
    const second = await series.backup([volume(bytes, { changed })]);
    expect(second).toMatchObject({ read: GRAIN, written: { newChunks: 1 } });
    expect((await series.restored(second.backupId, 'vm5/private.img')).equals(bytes)).toBe(true);
  });

  describe('checks what is reported as unchanged, and', () => {
    /** Asks for all chunks that are reported as unchanged, and counts how often the report was found wrong. */
    const checking = (): { check: CheckOfChanges; asked: number[]; wrong: () => number } => {
      let wrong = 0;
      const asked: number[] = [];
      const check: CheckOfChanges = {
        sampleOf(runs) {
          for (const { first, count } of runs) {
            for (let i = 0; i < count; i++) asked.push(first + i);
          }
          return asked;
        },
        wrong() {
          wrong++;
          return Promise.resolve();
        },
      };
      return { check, asked, wrong: () => wrong };
    };

    it('finds no error in a true report, also of a volume without changes', async () => {
      const series = new SeriesOfFiles();
      const bytes = noise(9, 1).subarray(0, 9 * GRAIN - 100);
      bytes.fill(0, 4 * GRAIN, 5 * GRAIN);
      await series.backup([volume(bytes)]);
      for (const changed of [[], [{ offset: 2 * GRAIN, length: 1 }]]) {
        const { check, asked, wrong } = checking();
        const made = await series.backup([volume(bytes, { changed, check })]);
        expect(made.written).toMatchObject({ newChunks: 0, changed: new Set() });
        expect(asked).toEqual(
          [0, 1, 2, 3, 4, 5, 6, 7, 8].filter((i) => !changed.length || i !== 2),
        );
        expect(wrong()).toBe(0);
      }
    });

    it.each([
      ['a changed byte', (bytes: Buffer) => bytes.fill('x', 7 * GRAIN + 5, 7 * GRAIN + 6)],
      ['the changed last chunk', (bytes: Buffer) => bytes.fill('x', bytes.length - 1)],
      ['data that became zeros', (bytes: Buffer) => bytes.fill(0, 3 * GRAIN, 4 * GRAIN)],
      ['zeros that became data', (bytes: Buffer) => bytes.fill('x', 4 * GRAIN, 4 * GRAIN + 1)],
    ])('stores %s although it was not reported, and notes the error once', async (_, change) => {
      const series = new SeriesOfFiles();
      const bytes = noise(9, 1).subarray(0, 9 * GRAIN - 100);
      bytes.fill(0, 4 * GRAIN, 5 * GRAIN);
      await series.backup([volume(bytes)]);
      change(bytes);
      const { check, wrong } = checking();
      const second = await series.backup([volume(bytes, { changed: [], check })]);
      expect(wrong()).toBe(1);
      const restored = await series.restored(second.backupId, 'vm5/private.img');
      expect(restored.equals(bytes)).toBe(true);
    });
  });

  it.each([true, false])(
    'reads everything if the ids that dom0 has recorded are damaged, and does not blame the pool (sampled: %s)',
    async (samples) => {
      const series = new SeriesOfFiles();
      const bytes = noise(9, 1);
      const { backupId } = await series.backup([volume(bytes)]);
      series.spoilId(backupId, 5);
      bytes.fill('new', 0, 9);
      let wrong = 0;
      const check: CheckOfChanges = {
        sampleOf: (runs) => (samples ? Array.from(runs).flatMap(({ first }) => [first]) : []),
        wrong: () => {
          wrong++;
          return Promise.resolve();
        },
      };
      const changed = [{ offset: 0, length: 9 }];
      const second = await series.backup([volume(bytes, { changed, check })]);
      expect(wrong).toBe(0);
      expect(second).toMatchObject({ read: bytes.length, written: { newChunks: 2 } });
      expect((await series.restored(second.backupId, 'vm5/private.img')).equals(bytes)).toBe(true);
    },
  );

  it('stores nothing again if old content returns or moves', async () => {
    const series = new SeriesOfFiles();
    const bytes = noise(8, 1);
    await series.backup([volume(bytes)]);
    await series.backup([volume(noise(8, 2))]);
    const moved = Buffer.concat([bytes.subarray(4 * GRAIN), bytes.subarray(0, 4 * GRAIN)]);
    const third = await series.backup([volume(moved)]);
    expect(third.written.newChunks).toBe(0);
    expect((await series.restored(third.backupId, 'vm5/private.img')).equals(moved)).toBe(true);
  });

  it('stores once what root volumes have in common, and never compares other volumes', async () => {
    const series = new SeriesOfFiles();
    const bytes = noise(8, 1);
    const root = { path: 'vm1/root.img', domain: 'roots' };
    await series.backup([volume(bytes, root)]);
    const clone = { path: 'vm2/root.img', domain: 'roots' };
    const other = { path: 'vm6/private.img', domain: 'vm6/private.img' };
    const second = await series.backup([
      volume(bytes, root),
      volume(bytes, clone),
      volume(bytes, other),
    ]);
    expect(second.written.newChunks).toBe(8);
    for (const { path } of [root, clone, other]) {
      expect((await series.restored(second.backupId, path)).equals(bytes), path).toBe(true);
    }
  });

  it('stores once what two root volumes have in common that are new in the same backup', async () => {
    const series = new SeriesOfFiles();
    await series.backup([]);
    const bytes = noise(9, 1);
    const [one, other] = ['vm1/root.img', 'vm2/root.img'].map((path) =>
      volume(bytes, { path, domain: 'roots' }),
    );
    if (one === undefined || other === undefined) throw new Error('there are two');
    const { written, backupId } = await series.backup([one, other]);
    expect(written.newChunks).toBe(9);
    expect((await series.restored(backupId, other.path)).equals(bytes)).toBe(true);
  });

  it.each([true, false])(
    'stores again what was in a lost file and is still needed (known to be unchanged: %s)',
    async (detects) => {
      const series = new SeriesOfFiles();
      const bytes = noise(12, 1);
      const first = await series.backup([volume(bytes)]);
      bytes.fill('new', 0, 2 * GRAIN);
      const second = await series.backup([volume(bytes)]);
      series.lose(first.backupId);
      const changed = detects ? [] : undefined;
      const third = await series.backup([volume(bytes, { changed })]);
      expect(third.written.newChunks).toBe(10);
      expect(third.manifest.needs).toEqual([{ backupId: second.backupId, parts: 1 }]);
      const restored = await series.restored(third.backupId, 'vm5/private.img');
      expect(restored.equals(bytes)).toBe(true);
    },
  );

  it('stores everything again if the size of chunks is another', async () => {
    const series = new SeriesOfFiles();
    const bytes = noise(8, 1);
    await series.backup([volume(bytes)]);
    const second = await series.backup([volume(bytes)], { grain: 2 * GRAIN });
    expect(second.written.newChunks).toBe(4);
    expect(second.manifest.needs).toEqual([]);
    const third = await series.backup([volume(bytes)], { grain: 2 * GRAIN });
    expect(third.written.newChunks).toBe(0);
    expect((await series.restored(third.backupId, 'vm5/private.img')).equals(bytes)).toBe(true);
  });

  it('never uses a key twice, even if a backup breaks off', async () => {
    const series = new SeriesOfFiles();
    const bytes = noise(12, 1);
    await series.backup([volume(bytes)]);
    bytes.fill('new', 0, 2 * GRAIN);
    const broken = series.backup([volume(bytes)], { failing: true });
    await expect(broken).rejects.toThrow('the test ends this backup');
    const { manifest } = await series.backup([volume(bytes)]);
    expect(manifest.sequence).toBe(2);
    expect(new Set(series.keys).size).toBe(series.keys.length);
  });
});
