import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { MiB } from './sizes.ts';

/** How many bytes go through buffers before unused ones are freed. */
const INTERVAL = 16 * MiB;

let collect: ((options: { type: 'minor' }) => void) | undefined;
let bytesSince = 0;

/**
 * Must be called for each buffer of a data stream, so that unused ones are freed soon. V8 decides by the size of its
 * own heap, which stays small here, and would let about 64 MiB accumulate. A minor collection takes less than a
 * millisecond.
 */
export function noteBuffer(bytes: number): void {
  bytesSince += bytes;
  if (bytesSince < INTERVAL) return;
  bytesSince = 0;
  collect ??= collector();
  collect({ type: 'minor' });
}

/** Created only when it is needed: this takes milliseconds, and most commands never need it. */
function collector(): (options: { type: 'minor' }) => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as (options: { type: 'minor' }) => void;
}
