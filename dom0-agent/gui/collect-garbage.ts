import system from 'system';

/** Bytes read between two collections: what is made of them is far less than what the engine would collect by itself. */
const OFTEN = 64 * 1024;

let read = 0;

/**
 * Collects garbage now and then, all of it at once. Left to itself, the engine collects a large heap in slices, and GJS
 * drops whatever calls back between two of them ("Attempting to run a JS callback during garbage collection"): the
 * window would wait forever.
 *
 * @param bytes that were read since the last call
 */
export function collectGarbage(bytes: number): void {
  read += bytes;
  if (read < OFTEN) return;
  read = 0;
  system.gc();
}
