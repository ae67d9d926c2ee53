import type { Extent } from '../../../shared/sparse-data.ts';

/** With more extents than this, the smallest holes are treated as data: they read as zeros. */
const MOST_EXTENTS = 2 ** 20;
const SMALLEST_HOLE = 1;

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
