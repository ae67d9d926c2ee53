import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { MiB } from './sizes.ts';

/** How many bytes go through buffers before unused ones are freed. */
const INTERVAL = 16 * MiB;
/** How much V8's heap, or the buffers outside of it, may grow before everything that is unused is freed. */
const MOST_HEAP_GROWTH = 8 * MiB;
const MOST_BUFFER_GROWTH = 24 * MiB;

/** Without options, a major collection. */
type Collect = (options?: { type: 'minor' }) => void;

let collect: Collect | undefined;
let bytesSince = 0;
/** In bytes, after the last major collection. */
let [heap, buffers] = [0, 0];

/**
 * Must be called for each buffer of a data stream, so that unused ones are freed soon. V8 decides by the size of its
 * own heap, which stays small here, and would let about 64 MiB accumulate. A minor collection takes less than a
 * millisecond. It does not free what was in use during two of them, which on a busy machine are many objects and
 * buffers: a major one, of some ten milliseconds, bounds those.
 */
export function noteBuffer(bytes: number): void {
  bytesSince += bytes;
  if (bytesSince < INTERVAL) return;
  bytesSince = 0;
  collect ??= collector();
  collect({ type: 'minor' });
  const now = getHeapStatistics();
  const hasGrown =
    now.used_heap_size > heap + MOST_HEAP_GROWTH ||
    now.external_memory > buffers + MOST_BUFFER_GROWTH;
  if (!hasGrown) return;
  collect();
  const after = getHeapStatistics();
  [heap, buffers] = [after.used_heap_size, after.external_memory];
}

/** Created only when it is needed: this takes milliseconds, and most commands never need it. */
function collector(): Collect {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as Collect;
}
