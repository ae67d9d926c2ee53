import { MOST_CHUNKS_IN_PART } from './coffer1-header.ts';
import { Uint32List } from './uint32-list.ts';
import type { ChunkRun } from './part-text.ts';

/** Chunks that are consecutive both in a volume and in a part. */
export interface Run extends ChunkRun {
  /** The file in which the part was first stored: an index in the map's `backups`. */
  readonly backup: number;
  /** The number of the part there, and the position of the first chunk in it, counted in chunks. */
  readonly part: number;
  readonly offset: number;
}

/** How many backups a map can name. */
export const MOST_BACKUPS = 2 ** 16;

/** The runs of a volume in ascending order, 12 bytes each. */
export class Runs {
  readonly #first = new Uint32List();
  readonly #part = new Uint32List();
  /** Backup (16 bits), offset (5 bits), count less one (5 bits). */
  readonly #rest = new Uint32List();

  get length(): number {
    return this.#first.length;
  }

  at(index: number): Run {
    const rest = this.#rest.at(index);
    return {
      first: this.#first.at(index),
      count: (rest % MOST_CHUNKS_IN_PART) + 1,
      backup: Math.floor(rest / MOST_CHUNKS_IN_PART ** 2),
      part: this.#part.at(index),
      offset: Math.floor(rest / MOST_CHUNKS_IN_PART) % MOST_CHUNKS_IN_PART,
    };
  }

  /** Appends a run; one that continues the last one is merged with it. */
  add(run: Run): void {
    const last = this.length === 0 ? undefined : this.at(this.length - 1);
    if (last !== undefined && continues(last, run)) {
      this.#rest.set(this.length - 1, pack({ ...last, count: last.count + run.count }));
      return;
    }
    this.#first.push(run.first);
    this.#part.push(run.part);
    this.#rest.push(pack(run));
  }

  *[Symbol.iterator](): Generator<Run, void, undefined> {
    for (let index = 0; index < this.length; index++) yield this.at(index);
  }
}

/** Whether `next` continues where `last` ends, in the volume and in the part. */
export function continues(last: Run, next: Run): boolean {
  return (
    next.first === last.first + last.count &&
    next.backup === last.backup &&
    next.part === last.part &&
    next.offset === last.offset + last.count
  );
}

function pack({ count, backup, offset }: Run): number {
  return (backup * MOST_CHUNKS_IN_PART + offset) * MOST_CHUNKS_IN_PART + count - 1;
}
