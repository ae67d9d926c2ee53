import type { PartPlace } from './known-chunks.ts';
import type { VolumeMap } from './volume-map.ts';

/**
 * Draws up to `count` of the parts that these maps refer to at random, so that each chunk is equally likely to be in
 * one. No part is drawn twice.
 *
 * @param random returns a number from 0 up to, not including, 1
 */
export function drawParts(
  maps: readonly VolumeMap[],
  count: number,
  random: () => number = Math.random,
): PartPlace[] {
  const all = maps.reduce((sum, { chunks }) => sum + chunks, 0);
  const drawn = new Map<string, PartPlace>();
  for (let i = 0; i < count && all > 0; i++) {
    const part = partWith(Math.floor(random() * all), maps);
    drawn.set(`${part.backupId} ${part.part}`, part);
  }
  return [...drawn.values()];
}

/** The part with a chunk; chunks are counted over all maps. */
function partWith(chunk: number, maps: readonly VolumeMap[]): PartPlace {
  let left = chunk;
  for (const { runs, chunks, backups } of maps) {
    if (left >= chunks) {
      left -= chunks;
      continue;
    }
    for (const { count, backup, part } of runs) {
      if (left < count) return { backupId: backups[backup] ?? '', part };
      left -= count;
    }
  }
  throw new RangeError(`there is no chunk ${chunk}`);
}
