import type { Extent } from '../../../shared/sparse-data.ts';
import type { VolumeContent } from '../content.ts';
import type { ChunkPlace } from './known-chunks.ts';
import { LastPlaces } from './last-places.ts';
import type { ChunkRun } from './part-text.ts';
import type { VolumeMap } from './volume-map.ts';

/** What has to be done with some chunks of a volume. Those that are in no step are zeros. */
export interface Step extends ChunkRun {
  readonly kind: 'read' | 'keep';
}

/** Steps that read everything that may be data. */
export function* dataSteps(
  extents: readonly Extent[],
  grain: number,
): Generator<Step, void, undefined> {
  for (const run of chunkRuns(extents, grain)) yield { ...run, kind: 'read' };
}

/**
 * Steps that read what may be data and may have changed since `last`, and what cannot be kept since its part is no
 * longer there. The rest is kept. In ascending order.
 *
 * @param areKnown whether the ids of `count` chunks, the first of which is in this place, are known
 */
export function* changedSteps(
  volume: Pick<VolumeContent, 'size' | 'extents' | 'changed'>,
  last: VolumeMap,
  grain: number,
  areKnown: (first: ChunkPlace, count: number) => boolean,
): Generator<Step, void, undefined> {
  const data = new DataRuns(chunkRuns(volume.extents, grain));
  const places = new LastPlaces(last);
  const end = Math.ceil(volume.size / grain);
  let at = 0;
  for (const { first, count } of [...changedRuns(volume, last, grain), { first: end, count: 0 }]) {
    for (const { place, ...run } of places.runsIn({ first: at, count: first - at })) {
      yield { ...run, kind: areKnown(place, run.count) ? 'keep' : 'read' };
    }
    for (const run of data.within(first, first + count)) yield { ...run, kind: 'read' };
    at = first + count;
  }
}

/** The chunks that may have changed. If the size did, that includes all from where the smaller volume ends. */
function* changedRuns(
  { size, changed = [] }: Pick<VolumeContent, 'size' | 'changed'>,
  last: VolumeMap,
  grain: number,
): Generator<ChunkRun, void, undefined> {
  const isSameSize = size === last.size;
  /** How many chunks are before both ends. */
  const whole = isSameSize
    ? Math.ceil(size / grain)
    : Math.floor(Math.min(size, last.size) / grain);
  for (const { first, count } of chunkRuns(changed, grain)) {
    if (first < whole) yield { first, count: Math.min(count, whole - first) };
  }
  const end = Math.ceil(size / grain);
  if (end > whole) yield { first: whole, count: end - whole };
}

/**
 * The chunks that are not read although they may be data: those that are kept, and those in `extents` that are in no
 * step, because they were zeros and are reported as unchanged. In ascending order.
 */
export function* unchangedRuns(
  extents: readonly Extent[],
  steps: Iterable<Step>,
  grain: number,
): Generator<ChunkRun, void, undefined> {
  const data = new DataRuns(chunkRuns(extents, grain));
  let at = 0;
  for (const { kind, first, count } of steps) {
    yield* data.within(at, first);
    if (kind === 'keep') yield { first, count };
    at = first + count;
  }
  yield* data.within(at, Infinity);
}

/** The chunks with any byte of the extents, in runs. */
export function* chunkRuns(
  extents: readonly Extent[],
  grain: number,
): Generator<ChunkRun, undefined, undefined> {
  let from = 0;
  let to = 0;
  for (const { offset, length } of extents) {
    if (length === 0) continue;
    const first = Math.floor(offset / grain);
    const end = Math.ceil((offset + length) / grain);
    if (first > to) {
      if (to > from) yield { first: from, count: to - from };
      from = first;
    }
    to = Math.max(to, end);
  }
  if (to > from) yield { first: from, count: to - from };
  return undefined;
}

/** Runs, of which the parts within ranges are asked for in ascending order. */
class DataRuns {
  readonly #runs: Generator<ChunkRun, undefined, undefined>;
  #present: ChunkRun | undefined;

  constructor(runs: Generator<ChunkRun, undefined, undefined>) {
    this.#runs = runs;
    this.#present = runs.next().value;
  }

  *within(from: number, to: number): Generator<ChunkRun, void, undefined> {
    while (this.#present !== undefined && this.#present.first < to) {
      const { first, count } = this.#present;
      const start = Math.max(first, from);
      const end = Math.min(first + count, to);
      if (end > start) yield { first: start, count: end - start };
      if (first + count > to) return;
      this.#present = this.#runs.next().value;
    }
  }
}
