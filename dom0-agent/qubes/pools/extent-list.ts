import type { Extent } from '../../../shared/sparse-data.ts';

/** If there are more extents than this, the smallest holes are treated as data: they read as zeros. */
const MOST_EXTENTS = 2 ** 20;
/** The smallest hole that is kept at first, in bytes. */
const SMALLEST_HOLE = 1;

/** The parts of extents below `size`. */
export function extentsBelow(extents: readonly Extent[], size: number): readonly Extent[] {
  return extents
    .filter(({ offset }) => offset < size)
    .map(({ offset, length }) => ({ offset, length: Math.min(length, size - offset) }));
}

/** Collects extents in ascending order; joins those that touch, and bounds their number. */
export class ExtentList {
  readonly #most: number;
  #extents: { offset: number; length: number }[] = [];
  #smallestHole = SMALLEST_HOLE;

  constructor(most = MOST_EXTENTS) {
    this.#most = most;
  }

  get extents(): readonly Extent[] {
    return this.#extents;
  }

  /** Adds an extent, which must not begin before the end of the last one. */
  add(offset: number, length: number): void {
    if (length === 0) return;
    const last = this.#extents.at(-1);
    if (last !== undefined && offset - (last.offset + last.length) < this.#smallestHole) {
      last.length = offset + length - last.offset;
      return;
    }
    this.#extents.push({ offset, length });
    while (this.#extents.length > this.#most) this.#closeSmallHoles();
  }

  #closeSmallHoles(): void {
    const extents = this.#extents;
    this.#extents = [];
    this.#smallestHole *= 2;
    for (const { offset, length } of extents) this.add(offset, length);
  }
}
