import { ExtentList } from '../pools/extent-list.ts';
import type { Extent } from '../../../shared/sparse-data.ts';

/** Where some bytes of a volume are in its pool. Everything except `stamp` is in bytes. */
export interface Mapping {
  /** The first byte in the volume. */
  readonly offset: number;
  readonly length: number;
  /** The first byte in the pool; undefined if the pool does not say, or not exactly. */
  readonly place: number | undefined;
  /** Equal content needs an equal stamp, too: the time when the place was taken, or a mark for what reads as zeros. */
  readonly stamp: number;
}

/** The mappings of one volume, ascending and disjoint, in batches; what is in none of them reads as zeros. */
export type Mappings = AsyncIterable<readonly Mapping[]>;

/**
 * The ranges below `size` whose place or stamp differs, that are mapped in only one of the two, or whose place is not
 * known. At most about a million: if there are more, small gaps between them are closed.
 */
export async function differences(
  before: Mappings,
  after: Mappings,
  size: number,
): Promise<readonly Extent[]> {
  const found = new ExtentList();
  const one = new Cursor(before);
  const other = new Cursor(after);
  try {
    for (let at = 0; at < size;) {
      while (!one.advance(at)) await one.fetch();
      while (!other.advance(at)) await other.fetch();
      const end = Math.min(size, boundary(one.present, at), boundary(other.present, at));
      if (!isSame(one.present, other.present, at)) found.add(at, end - at);
      at = end;
    }
    // Both are read to their ends, where their sources check what they have read.
    for (const cursor of [one, other]) while (!cursor.advance(Infinity)) await cursor.fetch();
  } finally {
    await one.return();
    await other.return();
  }
  return found.extents;
}

/** Stands for the end, after the last mapping. */
const NOTHING: Mapping = { offset: Infinity, length: 0, place: undefined, stamp: 0 };

/** The end of a mapping that contains `at`, or else its beginning. */
function boundary({ offset, length }: Mapping, at: number): number {
  return offset > at ? offset : offset + length;
}

function isSame(old: Mapping, present: Mapping, at: number): boolean {
  const inOld = old.offset <= at;
  const inPresent = present.offset <= at;
  if (!inOld && !inPresent) return true;
  if (!inOld || !inPresent || old.place === undefined || present.place === undefined) return false;
  return old.place - old.offset === present.place - present.offset && old.stamp === present.stamp;
}

/** Goes through mappings in ascending order. */
class Cursor {
  readonly #batches: AsyncIterator<readonly Mapping[]>;
  #batch: readonly Mapping[] = [];
  #next = 0;
  #present: Mapping = { offset: 0, length: 0, place: undefined, stamp: 0 };

  constructor(mappings: Mappings) {
    this.#batches = mappings[Symbol.asyncIterator]();
  }

  /** The mapping that `advance` found: the one that contains the byte, or the next one after it. */
  get present(): Mapping {
    return this.#present;
  }

  /** Moves on to the first mapping that ends after `at`. Returns false if the next batch must be fetched first. */
  advance(at: number): boolean {
    while (this.#present.offset + this.#present.length <= at) {
      const next = this.#batch[this.#next++];
      if (next === undefined) return this.#present === NOTHING;
      this.#present = next;
    }
    return true;
  }

  async fetch(): Promise<void> {
    const next = await this.#batches.next();
    this.#batch = next.done === true ? [] : next.value;
    this.#next = 0;
    if (next.done === true) this.#present = NOTHING;
  }

  async return(): Promise<void> {
    await this.#batches.return?.();
  }
}
