import { randomInt } from 'node:crypto';

/**
 * Which share of the chunks that are reported as unchanged is read nevertheless, and the least and the most of them.
 */
const SHARE = 0.005;
const FEWEST = 16;
const MOST = 512;

/** Consecutive chunks. */
interface ChunkRun {
  readonly first: number;
  readonly count: number;
}

/**
 * Selects chunks that are reported as unchanged, to be read and compared nevertheless: 0.5 % of them, at least 16 and
 * at most 512, at random, in ascending order. If there are no more than 16, all of them.
 *
 * @param unchanged runs of chunks, ascending and disjoint; the same each time
 * @param random returns a whole number from 0 up to, not including, its argument
 */
export function sampleOf(
  unchanged: Iterable<ChunkRun>,
  random: (below: number) => number = randomInt,
): number[] {
  let total = 0;
  for (const { count } of unchanged) total += count;
  const size = Math.min(total, MOST, Math.max(FEWEST, Math.ceil(total * SHARE)));
  const chosen = [...differentNumbers(size, total, random)].sort((one, other) => one - other);
  const chunks: number[] = [];
  let before = 0;
  let next = 0;
  for (const { first, count } of unchanged) {
    for (; next < chosen.length; next++) {
      const place = (chosen[next] ?? 0) - before;
      if (place >= count) break;
      chunks.push(first + place);
    }
    before += count;
  }
  return chunks;
}

/** `size` different numbers below `total`, each set of them as likely as any other (Floyd's algorithm). */
function differentNumbers(
  size: number,
  total: number,
  random: (below: number) => number,
): Set<number> {
  const chosen = new Set<number>();
  for (let last = total - size; last < total; last++) {
    const number = random(last + 1);
    chosen.add(chosen.has(number) ? last : number);
  }
  return chosen;
}
