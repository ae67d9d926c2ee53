import { closeSync, openSync, statSync, writeSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { KiB, MiB } from '../../shared/sizes.ts';
import { incompressible, text } from './random.ts';

const BLOCK = 4 * KiB;
/** The longest write, in bytes. Most writes are short, such as those of a database; some write a whole file. */
const LONGEST = 2 * MiB;

/**
 * Simulates a day's use of the volume in `image`: ranges of it are overwritten, often in the same area as on other
 * days. The same name always gives the same writes.
 *
 * @param share the share of the volume's bytes that is written
 */
export function useForADay(image: string, name: string, share = 1 / 60): void {
  const { size } = statSync(image);
  const dice = throwsOf(name);
  const file = openSync(image, 'r+');
  try {
    for (let left = share * size; left > 0;) {
      const length = BLOCK * Math.ceil((LONGEST * next(dice) ** 6) / BLOCK + 1e-9);
      // Most writes are in a tenth of the volume.
      const from = next(dice) < 0.7 ? next(dice) / 10 : next(dice);
      const at = BLOCK * Math.floor((from * (size - length)) / BLOCK);
      const kind = next(dice) < 1 / 3 ? incompressible : text;
      let written = 0;
      for (const bytes of kind(`${name} ${left}`, length)) {
        written += writeSync(file, bytes, 0, bytes.length, at + written);
      }
      left -= length;
    }
  } finally {
    closeSync(file);
  }
}

/** The total size of all files in and below a directory, in bytes. */
export async function storedIn(directory: string): Promise<number> {
  let sum = 0;
  for (const name of await readdir(directory, { recursive: true })) {
    const stats = await stat(join(directory, name));
    if (stats.isFile()) sum += stats.size;
  }
  return sum;
}

function* throwsOf(name: string): Generator<number, never> {
  for (;;) {
    for (const bytes of incompressible(name, Infinity)) {
      for (let at = 0; at + 4 <= bytes.length; at += 4) yield bytes.readUInt32LE(at) / 2 ** 32;
    }
  }
}

function next(dice: Generator<number, never>): number {
  return dice.next().value;
}
