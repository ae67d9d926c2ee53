import { randomInt } from 'node:crypto';

/** How much of what is said to be unchanged is read all the same, and how many chunks at least and at most. */
const SHARE = 0.005;
const FEWEST = 16;
const MOST = 512;

/** Chunks that follow each other. */
interface ChunkRun {
  readonly first: number;
  readonly count: number;
}

/**
 * Which of the chunks that are said to be unchanged are to be read and compared all the same: 0.5 % of them, at
 * least 16 and at most 512, chosen at random, ascending. All of them when there are no more than 16.
 *
 * @param unchanged runs of chunks, ascending and disjoint
 * @param random gives a whole number from 0 up to, not including, its argument
 */
export function sampleOf(
  unchanged: readonly ChunkRun[],
  random: (below: number) => number = randomInt,
): number[] {
  const total = unchanged.reduce((sum, { count }) => sum + count, 0);
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
