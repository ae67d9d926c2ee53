import { MOST_CHUNKS_IN_PART } from './coffer1-header.ts';

/**
 * A mask with `count` bits set, from bit `offset` on. The bits of a mask stand for the chunks of a part, lowest first.
 */
export function bits(offset: number, count: number): number {
  const ones = count >= MOST_CHUNKS_IN_PART ? 0xffff_ffff : 2 ** count - 1;
  return (ones << offset) >>> 0;
}

/** Whether bit `offset` is set. */
export function hasBit(mask: number, offset: number): boolean {
  return ((mask >>> offset) & 1) === 1;
}

/** How many of the bits are set. */
export function countBits(mask: number): number {
  // Adds up pairs of bits, then fours, then bytes: fast, as it is called for each chunk of a volume.
  const twos = mask - ((mask >>> 1) & 0x5555_5555);
  const fours = (twos & 0x3333_3333) + ((twos >>> 2) & 0x3333_3333);
  return Math.imul((fours + (fours >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}

/** Whether all bits of `some` are set in `mask`. */
export function covers(mask: number, some: number): boolean {
  return (some & ~mask) === 0;
}

/** How many of the bits below bit `offset` are set: the position of a chunk among those that are present. */
export function rankOf(mask: number, offset: number): number {
  return countBits(mask & bits(0, offset));
}

/** The positions of the bits that are set, ascending. */
export function placesIn(mask: number): number[] {
  const places: number[] = [];
  for (let place = 0; place < MOST_CHUNKS_IN_PART; place++) {
    if (hasBit(mask, place)) places.push(place);
  }
  return places;
}
