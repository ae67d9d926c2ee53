import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { MiB } from './sizes.ts';

/** After so many bytes in buffers the unused ones are freed. */
const INTERVAL = 16 * MiB;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as (options: { type: 'minor' }) => void;
let bytesSince = 0;

/**
 * Told of the buffers that a stream of data goes through, so that those which have done their work are freed
 * in time. V8 decides by its own heap, which stays small here, and would let some
 * 64 MiB of them pile up. A collection of young objects takes less than a millisecond.
 */
export function noteBuffer(bytes: number): void {
  bytesSince += bytes;
  if (bytesSince < INTERVAL) return;
  bytesSince = 0;
  collect({ type: 'minor' });
}
