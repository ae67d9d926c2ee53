import { join } from 'node:path';
import { expect, it } from 'vitest';
import { describeStored } from '../../dom0-agent/backup/adopt-files.ts';
import type { SeriesState } from '../../dom0-agent/backup/series-state.ts';
import { SeriesStore } from '../../dom0-agent/backup/series-store.ts';
import { notePrune } from '../../dom0-agent/cli/prune-state.ts';
import type { PrunePlan } from '../../dom0-agent/forget/plan-prune.ts';
import { FailedError } from '../../shared/errors.ts';
import { chunkOf } from '../archive/coffer1/make-series.ts';
import { SeriesOnDisk } from './series-on-disk.ts';

/** A disk in dom0 that is full after a number of files. */
class FullStore extends SeriesStore {
  #left: number;

  constructor(directory: string, files: number) {
    super(directory, () => undefined);
    this.#left = files;
  }

  override write(...file: Parameters<SeriesStore['write']>): Promise<void> {
    if (this.#left-- === 0) throw new FailedError('there is no space left');
    return super.write(...file);
  }
}

/** What dom0 knows of a series with all these files. */
function stateOf({ series: { head, files } }: PrunePlan): SeriesState {
  const known = files.map(describeStored);
  const { backupId, mac, sequence } = known.at(-1) ?? expect.fail();
  const last = { backupId, mac, sequence };
  return {
    ...{ head, place: 'dom0:/backups', dedup: 'domain', encrypted: true, last, files: known },
    ...{ compressionFilter: undefined, maps: new Map() },
  };
}

/** Three backups that need a pack of each of two kinds when only the last is kept. */
async function twoKinds(): Promise<SeriesOnDisk> {
  const series = new SeriesOnDisk();
  for (const [day, compressionFilter] of [
    ['abcdefgh', 'gzip'],
    ['aBCDefgh', undefined],
    ['aBCD----', undefined],
  ] as const) {
    const volume = Buffer.concat(Array.from(day, (name) => chunkOf(name)));
    await series.backUp({ 'vm5/private.img': volume }, { chunksInPart: 1, compressionFilter });
  }
  return series;
}

it('dom0 notes all new packs of a prune at once, or nothing', async () => {
  using series = await twoKinds();
  const plan = await series.plan({ last: 1 });
  const state = stateOf(plan);
  const { packs, last } = await series.prune({ last: 1 });
  expect(packs).toHaveLength(2);
  const directory = join(series.directory, 'state');
  for (const files of [0, 1]) {
    const store = new FullStore(directory, files);
    await store.save(state);
    await expect(notePrune(store, state, plan, { packs, last })).rejects.toThrow('no space');
    expect(await store.all()).toEqual([expect.objectContaining({ last: state.last })]);
  }
  const store = new FullStore(directory, 2);
  await notePrune(store, state, plan, { packs, last });
  const [noted] = await store.all();
  expect(noted?.last).toEqual(last);
  expect(noted?.files.map(({ kind }) => kind)).toEqual(['backup', 'pack', 'pack']);
});

it('the number of the newest file that dom0 knows of does not become smaller when that file is forgotten', async () => {
  using series = await twoKinds();
  const plan = await series.plan({ last: 1 });
  const forgotten = { backupId: '1'.repeat(32), mac: '2'.repeat(128), sequence: 100 };
  const state = { ...stateOf(plan), last: forgotten };
  const store = new FullStore(join(series.directory, 'state'), 0);
  await notePrune(store, state, plan, { packs: [], last: stateOf(plan).last });
  expect((await store.all())[0]?.last).toEqual(state.last);
});
