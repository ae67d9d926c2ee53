import { isZero } from '../../../shared/sparse-data.ts';
import type { VolumeContent } from '../content.ts';
import { ChunkIds, ID_LENGTH } from './chunk-ids.ts';
import type { ChunkPlace, KnownChunks, PartPlace } from './known-chunks.ts';
import { LastPlaces } from './last-places.ts';
import type { ChunkRun } from './part-text.ts';
import { Runs } from './runs.ts';
import type { SeriesKey } from './series-key.ts';
import type { VolumeMap } from './volume-map.ts';
import { type Step, changedSteps, dataSteps, unchangedRuns } from './volume-steps.ts';

/** The chunks of a volume's domain in earlier files, and the volume's last map. */
export interface KnownBefore {
  readonly chunks: KnownChunks;
  readonly lastMap: VolumeMap | undefined;
}

/** A volume that is being backed up: where each of its chunks is, in ascending order. */
export class WrittenVolume {
  readonly content: VolumeContent;
  /** How many of its parts are in the backup's own file. */
  parts = 0;
  /** How many of its chunks are in no earlier file. */
  newChunks = 0;
  readonly #grain: number;
  readonly #key: SeriesKey;
  readonly #ids: ChunkIds;
  readonly #before: KnownBefore | undefined;
  readonly #lastPlaces: LastPlaces | undefined;
  readonly #runs = new Runs();
  readonly #backups: string[] = [];
  /** Whether everything is read: the reported changes, or what dom0 has recorded, have turned out to be wrong. */
  #isDoubted = false;

  /** @param before undefined if the backup must need no other file */
  constructor(
    content: VolumeContent,
    key: SeriesKey,
    grain: number,
    before: KnownBefore | undefined,
  ) {
    this.content = content;
    this.#grain = grain;
    this.#key = key;
    this.#ids = new ChunkIds(key, content.domain);
    this.#before = before;
    this.#lastPlaces = before?.lastMap && new LastPlaces(before.lastMap);
  }

  get lastMap(): VolumeMap | undefined {
    return this.#before?.lastMap;
  }

  /** What has to be read, and what can be kept. */
  steps(): Iterable<Step> {
    const before = this.#before;
    const grain = this.#grain;
    if (before?.lastMap === undefined || this.content.changed === undefined || this.#isDoubted) {
      return dataSteps(this.content.extents, grain);
    }
    return changedSteps(this.content, before.lastMap, grain, (place, count) => {
      return before.chunks.idsAt(place, count) !== undefined;
    });
  }

  /**
   * To be called before the first step: checks that the recorded ids are those of the last map, reads a sample of what is
   * reported as unchanged, and compares it. If anything is wrong, `steps` will read everything.
   */
  async check(): Promise<void> {
    const { check, changed, extents, size, read } = this.content;
    const before = this.#before;
    if (changed === undefined || before?.lastMap === undefined) return;
    this.#isDoubted = !this.#fit(before.lastMap, before.chunks);
    if (check === undefined || this.#isDoubted) return;
    const grain = this.#grain;
    const places = new LastPlaces(before.lastMap);
    const chunk = Buffer.alloc(grain);
    // Made anew each time that they are looked at: there may be a quarter of a million.
    const unchanged = {
      [Symbol.iterator]: () => unchangedRuns(extents, this.steps(), grain),
    };
    for (const number of check.sampleOf(unchanged)) {
      const start = number * grain;
      const length = Math.min(grain, size - start);
      await read(chunk.subarray(0, length), start);
      chunk.fill(0, length);
      const place = places.placeOf(number);
      const isAsItWas =
        place === undefined
          ? isZero(chunk)
          : before.chunks.idAt(place)?.equals(this.#ids.idOf(chunk)) === true;
      if (isAsItWas) continue;
      this.#isDoubted = true;
      await check.wrong();
      return;
    }
  }

  /** Whether the ids have the digest of the map, if all of them are known. dom0's records may have been damaged. */
  #fit(map: VolumeMap, known: KnownChunks): boolean {
    const recorded = new ChunkIds(this.#key, map.domain);
    for (const { first, count, backup, part, offset } of map.runs) {
      const ids = known.idsAt({ backupId: map.backups[backup] ?? '', part, offset }, count);
      if (ids === undefined) return true;
      recorded.add(first, ids);
    }
    return recorded.digest() === map.digest;
  }

  /** The key of the chunks' ids. */
  get idKey(): Uint8Array {
    return this.#ids.key;
  }

  /**
   * Refers to a chunk that is already stored, in an earlier file or this one. Returns whether there is such a chunk.
   */
  refer(number: number, id: Buffer): boolean {
    const before = this.#before;
    if (before === undefined) return false;
    const last = this.#lastPlaces?.placeOf(number);
    const isAsItWas = last !== undefined && before.chunks.idAt(last)?.equals(id) === true;
    const place = isAsItWas ? last : before.chunks.find(id);
    if (place === undefined) return false;
    this.#add(number, id, place);
    return true;
  }

  /** Notes that chunk `number` is stored at position `offset` of this part. */
  store(number: number, id: Buffer, place: PartPlace, offset: number): void {
    this.newChunks++;
    this.#add(number, id, { ...place, offset });
  }

  /** Keeps chunks that have not changed: they stay where they are in the last map. */
  keep(kept: ChunkRun): void {
    for (const { first, count, place } of this.#lastPlaces?.runsIn(kept) ?? []) {
      const ids = this.#before?.chunks.idsAt(place, count);
      if (ids === undefined) throw new RangeError(`nothing is known of chunk ${first}`);
      this.#add(first, ids, place);
    }
  }

  /** The map. To be called once, after all chunks have been added. */
  map(): VolumeMap {
    const { path, size, domain, origin } = this.content;
    const { chunks } = this.#ids;
    return {
      ...{ path, size, grain: this.#grain, domain, origin },
      ...{ backups: this.#backups, runs: this.#runs, chunks, digest: this.#ids.digest() },
    };
  }

  /** Adds chunks that are consecutive both in the volume and in a part. */
  #add(first: number, ids: Buffer, { backupId, part, offset }: ChunkPlace): void {
    let backup = this.#backups.indexOf(backupId);
    if (backup < 0) backup = this.#backups.push(backupId) - 1;
    this.#runs.add({ first, count: ids.length / ID_LENGTH, backup, part, offset });
    this.#ids.add(first, ids);
  }
}
