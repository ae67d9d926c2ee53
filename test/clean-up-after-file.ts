import { afterAll } from 'vitest';
import type { WhenDone } from './qubes/folder/small-system.ts';

/** Cleans up what all tests of a file share, after the last of them. To be called where the file begins. */
export function cleanUpAfterFile(): WhenDone {
  const cleanUps: (() => Promise<void>)[] = [];
  afterAll(() => Promise.all(cleanUps.map((cleanUp) => cleanUp())));
  return (cleanUp) => void cleanUps.push(cleanUp);
}
