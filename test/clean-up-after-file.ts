import { afterAll } from 'vitest';
import type { WhenDone } from './qubes/folder/small-system.ts';

/** Registers clean-up after the last test of a file. To be called at the top level of the file. */
export function cleanUpAfterFile(): WhenDone {
  const cleanUps: (() => Promise<void>)[] = [];
  afterAll(() => Promise.all(cleanUps.map((cleanUp) => cleanUp())));
  return (cleanUp) => void cleanUps.push(cleanUp);
}
