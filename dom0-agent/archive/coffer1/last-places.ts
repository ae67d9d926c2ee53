import type { ChunkPlace } from './known-chunks.ts';
import type { ChunkRun } from './part-text.ts';
import type { Run } from './runs.ts';
import type { VolumeMap } from './volume-map.ts';

/** Where the chunks of a volume are in its last backup. To be asked for in ascending order. */
export class LastPlaces {
  readonly #map: VolumeMap;
  /** The run that was looked at last. */
  #run = 0;

  constructor(map: VolumeMap) {
    this.#map = map;
  }

  /** Undefined for a chunk that was all zeros. */
  placeOf(chunk: number): ChunkPlace | undefined {
    const run = this.#runAt(chunk);
    return run === undefined || run.first > chunk ? undefined : this.#placeIn(run, chunk);
  }

  /** The runs of chunks within the given run that were data, and the place of the first chunk of each. */
  *runsIn({
    first,
    count,
  }: ChunkRun): Generator<ChunkRun & { place: ChunkPlace }, void, undefined> {
    for (let at = first; at < first + count;) {
      const run = this.#runAt(at);
      if (run === undefined || run.first >= first + count) return;
      const from = Math.max(at, run.first);
      at = Math.min(first + count, run.first + run.count);
      yield { first: from, count: at - from, place: this.#placeIn(run, from) };
    }
  }

  /** The run with the chunk, or the next one after it. */
  #runAt(chunk: number): Run | undefined {
    const { runs } = this.#map;
    for (; this.#run < runs.length; this.#run++) {
      const run = runs.at(this.#run);
      if (run.first + run.count > chunk) return run;
    }
    return undefined;
  }

  #placeIn(run: Run, chunk: number): ChunkPlace {
    const backupId = this.#map.backups[run.backup] ?? '';
    return { backupId, part: run.part, offset: run.offset + chunk - run.first };
  }
}
