import { mkdtempSync, rmSync } from 'node:fs';
import { mkdir, readFile, readdir, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PartsTable } from '../../dom0-agent/archive/coffer1/parts-table.ts';
import { Runs } from '../../dom0-agent/archive/coffer1/runs.ts';
import { newId } from '../../dom0-agent/archive/coffer1/series.ts';
import type { VolumeMap } from '../../dom0-agent/archive/coffer1/volume-map.ts';
import {
  type SeriesFile,
  type SeriesState,
  formatState,
  parseState,
} from '../../dom0-agent/backup/series-state.ts';
import { SeriesStore } from '../../dom0-agent/backup/series-store.ts';

const hex = (bytes: number) =>
  fc
    .uint8Array({ minLength: bytes, maxLength: bytes })
    .map((each) => Buffer.from(each).toString('hex'));
const bytes = (length: number) => hex(length).map((text) => Buffer.from(text, 'hex'));
const id = hex(16);
const positive = fc.integer({ min: 1, max: 2 ** 40 });

const state: fc.Arbitrary<SeriesState> = fc.record({
  head: fc.record({
    ...{ seriesId: id, kdf: fc.constant({ n: 2 ** 14, r: 8, p: 1 }) },
    ...{ kdfSalt: bytes(32), wrappedKey: bytes(64), wrappedKeyMac: bytes(64) },
  }),
  place: fc.string(),
  dedup: fc.constantFrom('domain', 'all'),
  encrypted: fc.boolean(),
  compressionFilter: fc.constantFrom('zstd', 'gzip', undefined),
  last: fc.record({ backupId: id, mac: hex(64), sequence: positive }),
  files: fc.array(
    fc.record<SeriesFile>({
      ...{ fileName: fc.string(), backupId: id, mac: hex(64), sequence: positive },
      ...{ kind: fc.constantFrom('backup', 'data', 'pack'), made: positive, bytes: positive },
      ...{ grain: positive, needs: fc.array(id, { maxLength: 3 }) },
      effort: fc.option(fc.record({ seconds: positive, read: fc.nat(), new: fc.nat() }), {
        nil: undefined,
      }),
    }),
    { maxLength: 3 },
  ),
  maps: fc.array(fc.tuple(fc.stringMatching(/^[a-z/]{1,9}$/), id)).map((each) => new Map(each)),
});

describe('the state of a series', () => {
  it('is read as it was written', () => {
    fc.assert(
      fc.property(state, (each) => {
        expect(parseState(formatState(each))).toEqual(each);
      }),
    );
  });

  it('is not read if a field is missing or has another type', () => {
    const [sound] = fc.sample(state, { numRuns: 1, seed: 7 });
    if (sound === undefined) throw new Error('no sample');
    const fields = JSON.parse(formatState(sound)) as Record<string, unknown>;
    for (const name of Object.keys(fields).filter((each) => each !== 'maps')) {
      for (const wrong of [undefined, null, 'x'.repeat(9), -1, [7]]) {
        if (name === 'place' && typeof wrong === 'string') continue;
        expect(parseState(JSON.stringify({ ...fields, [name]: wrong })), name).toBeUndefined();
      }
    }
    expect(parseState('{')).toBeUndefined();
  });
});

describe('the store of series in dom0', () => {
  let directory = '';
  let warnings: string[] = [];
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'coffer-series-'));
    warnings = [];
  });
  afterEach(() => rmSync(directory, { recursive: true }));
  const store = (): SeriesStore =>
    new SeriesStore(join(directory, 'series'), (text) => warnings.push(text));

  const ORIGIN = '95834ea7-e5da-439f-b3ab-935c91121d26/private';

  /** Adds a new file to the state `before`; all its chunks belong to one volume. */
  async function added(before?: SeriesState): Promise<{ state: SeriesState; ids: Buffer }> {
    const backupId = newId();
    const table = new PartsTable();
    table.add({ size: 9, chunks: 2, domain: 'a' });
    const ids = Buffer.from(newId() + newId(), 'hex');
    const runs = new Runs();
    runs.add({ first: 0, count: 2, backup: 0, part: 0, offset: 0 });
    const map: VolumeMap = {
      ...{ path: 'vm5/private.img', size: 2 ** 18, grain: 2 ** 17, domain: 'a', origin: ORIGIN },
      ...{ backups: [backupId], runs, chunks: 2, digest: '0'.repeat(64) },
    };
    const sequence = (before?.last.sequence ?? 0) + 1;
    const last = { backupId, mac: '1'.repeat(128), sequence };
    const state: SeriesState = {
      head: before?.head ?? {
        ...{ seriesId: newId(), kdf: { n: 2 ** 14, r: 8, p: 1 }, kdfSalt: Buffer.alloc(32, 1) },
        ...{ wrappedKey: Buffer.alloc(64, 2), wrappedKeyMac: Buffer.alloc(64, 3) },
      },
      ...{ place: 'sys-usb:/backups', dedup: 'domain', encrypted: true, compressionFilter: 'zstd' },
      last,
      files: [
        ...(before?.files ?? []),
        {
          ...{ ...last, fileName: `file-${sequence}`, kind: 'backup', made: 1000 + sequence },
          ...{ bytes: 5000, grain: 2 ** 17, needs: [] },
        },
      ],
      maps: new Map([[ORIGIN, backupId]]),
    };
    await store().add(state, { table, ids: [ids], maps: [map] }, backupId);
    return { state, ids };
  }

  it('finds a series by the place of its files', async () => {
    expect((await store().at('sys-usb:/backups', () => true))[0]).toBeUndefined();
    const { state } = await added();
    expect((await store().at('sys-usb:/backups', () => true))[0]).toEqual(state);
    expect((await store().at('sys-usb:/others', () => true))[0]).toBeUndefined();
    expect(warnings).toEqual([]);
  });

  it('finds the series that was continued last', async () => {
    const { state: one } = await added();
    const { state: other } = await added();
    const { state: later } = await added(one);
    expect(other.head.seriesId).not.toBe(one.head.seriesId);
    expect((await store().at('sys-usb:/backups', () => true))[0]).toEqual(later);
  });

  it('finds the series of the disk that is attached, if disks take turns at one place', async () => {
    const { state: one } = await added();
    const { state: later } = await added(one);
    expect(
      (await store().at('sys-usb:/backups', ({ fileName }) => fileName === 'file-1'))[0],
    ).toEqual(later);
    expect(
      (await store().at('sys-usb:/backups', ({ fileName }) => fileName === 'file-3'))[0],
    ).toBeUndefined();
  });

  it('gives the files with their ids, the newest first, and the last map of a volume', async () => {
    const { state: first, ids: old } = await added();
    const { state, ids } = await added(first);
    const earlier = await store().earlierFiles(state, () => true);
    const { files } = earlier;
    expect(files.map(({ backupId }) => backupId)).toEqual([
      state.last.backupId,
      first.last.backupId,
    ]);
    expect(await files[0]?.ids(0, 2)).toEqual(ids);
    expect(await files[1]?.ids(1, 1)).toEqual(old.subarray(16));
    expect((await earlier.lastMap(ORIGIN))?.backups).toEqual([state.last.backupId]);
    expect(await earlier.lastMap('another/private')).toBeUndefined();
  });

  it('has files that only its user can read, and deletes the maps that are no longer needed', async () => {
    const { state: first } = await added();
    const { state } = await added(first);
    const { seriesId } = state.head;
    const found: string[] = [];
    const all = await readdir(join(directory, 'series'), { recursive: true, withFileTypes: true });
    for (const entry of all) {
      const path = join(entry.parentPath, entry.name);
      const { mode } = await stat(path);
      expect(mode & 0o777, path).toBe(entry.isDirectory() ? 0o700 : 0o600);
      if (entry.isFile()) found.push(path.slice(join(directory, 'series', seriesId).length + 1));
    }
    expect(found.sort()).toEqual(
      [
        `${first.last.backupId}/ids`,
        `${first.last.backupId}/parts`,
        `${state.last.backupId}/ids`,
        `${state.last.backupId}/parts`,
        `${state.last.backupId}/95834ea7-e5da-439f-b3ab-935c91121d26@private.map`,
        'state.json',
      ].sort(),
    );
  });

  it('sets a damaged state aside, and says so', async () => {
    const { state } = await added();
    const path = join(directory, 'series', state.head.seriesId, 'state.json');
    await truncate(path, 100);
    expect((await store().at('sys-usb:/backups', () => true))[0]).toBeUndefined();
    expect(warnings.join()).toContain('is damaged, and was set aside');
    expect(await readFile(`${path}.damaged`, 'utf8')).toHaveLength(100);
  });

  it('reads the others if a damaged state cannot be set aside, and says so', async () => {
    const { state } = await added();
    const path = join(directory, 'series', state.head.seriesId, 'state.json');
    await truncate(path, 100);
    await mkdir(`${path}.damaged`);
    expect(await store().all()).toEqual([]);
    expect(warnings.join()).toMatch(/is damaged, and cannot be set aside: .*state\.json: /);
  });

  it.each(['ids', 'parts'])('leaves out a file whose %s are damaged, and says so', async (name) => {
    const { state: first } = await added();
    const { state } = await added(first);
    const path = join(directory, 'series', state.head.seriesId, first.last.backupId, name);
    await truncate(path, 5);
    const { files } = await store().earlierFiles(state, () => true);
    expect(files.map(({ backupId }) => backupId)).toEqual([state.last.backupId]);
    expect(warnings.join()).toContain("dom0's record of file-1 is lost");
  });

  it.each(['parts', '95834ea7-e5da-439f-b3ab-935c91121d26@private.map'])(
    'does not use %s if any bit of it is wrong',
    async (name) => {
      const { state } = await added();
      const path = join(directory, 'series', state.head.seriesId, state.last.backupId, name);
      const sound = await readFile(path);
      const found = async (): Promise<boolean> => {
        const earlier = await store().earlierFiles(state, () => true);
        return earlier.files.length === 1 && (await earlier.lastMap(ORIGIN)) !== undefined;
      };
      expect(await found()).toBe(true);
      for (let at = 0; at < sound.length; at++) {
        const damaged = Buffer.from(sound);
        damaged[at] = (damaged[at] ?? 0) ^ (1 << (at % 8));
        await writeFile(path, damaged);
        expect(await found(), `bit ${at % 8} of byte ${at}`).toBe(false);
      }
    },
  );

  it('ignores and deletes what an interrupted run has left', async () => {
    const { state } = await added();
    const left = join(directory, 'series', state.head.seriesId, newId());
    await mkdir(left);
    await writeFile(join(left, 'parts'), 'half of');
    expect((await store().at('sys-usb:/backups', () => true))[0]).toEqual(state);
    const { state: next } = await added(state);
    expect((await store().at('sys-usb:/backups', () => true))[0]).toEqual(next);
    await expect(stat(left)).rejects.toThrow('ENOENT');
  });
});
