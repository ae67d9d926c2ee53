import { closeSync, openSync, statSync, writeSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { KiB, MiB } from '../../shared/sizes.ts';
import { incompressible, text } from './random.ts';

const BLOCK = 4 * KiB;
/** Most writes are short: of a database, a mail; some are of a file. */
const LONGEST = 2 * MiB;

/**
 * A day's use of the volume in `image`: stretches of it are written anew, in place, where the day before they often were as
 * well. The same for the same name.
 *
 * @param share of the volume's bytes that is written
 */
export function useForADay(image: string, name: string, share = 1 / 60): void {
  const { size } = statSync(image);
  const dice = throwsOf(name);
  const file = openSync(image, 'r+');
  try {
    for (let left = share * size; left > 0;) {
      const length = BLOCK * Math.ceil((LONGEST * next(dice) ** 6) / BLOCK + 1e-9);
      // A tenth of the volume is where most is written.
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

/** The sizes of all files in a directory, and below. */
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
