import { bits, countBits } from './chunk-mask.ts';
import type { Run, Runs } from './runs.ts';
import { Uint32List } from './uint32-list.ts';

/** A visit to a part, for consecutive runs of a volume that are in it. */
export interface Step {
  /** The number of the part. */
  readonly part: number;
  readonly runs: readonly Run[];
  /** Whether the part must be read now; otherwise the chunks were kept. */
  readonly isRead: boolean;
  /** Which of its chunks are kept for later steps, as bits. */
  readonly kept: number;
  /** Parts whose kept chunks are dropped now, though a later step needs them. */
  readonly dropped: readonly number[];
}

/**
 * The order in which the parts of a volume are read, so that its chunks come in ascending order and few parts are read
 * twice. The map shows what will be needed: when there is no room for more chunks, those that are needed last are
 * dropped. Takes 16 bytes for each visit to a part, and 4 for each part.
 */
export class ReadPlan {
  readonly #runs: Runs;
  /** For each visit: its first run, and its part. */
  readonly #firstRuns = new Uint32List();
  readonly #parts = new Uint32List();
  /**
   * For each visit: the next visit to the same part, or the number of all visits if there is none; and the chunks that
   * any later visit needs, as bits.
   */
  readonly #next: Uint32Array;
  readonly #later: Uint32Array;
  readonly #room: number;

  /**
   * @param parts all numbers of parts are below this
   * @param partOf the number of the part that a run is in
   * @param room how many chunks can be kept
   */
  constructor(runs: Runs, parts: number, partOf: (run: Run) => number, room: number) {
    this.#runs = runs;
    this.#room = room;
    let last = -1;
    for (let index = 0; index < runs.length; index++) {
      const part = partOf(runs.at(index));
      if (part === last) continue;
      this.#firstRuns.push(index);
      this.#parts.push(part);
      last = part;
    }
    this.#next = new Uint32Array(this.length);
    this.#later = new Uint32Array(this.length);
    this.#lookAhead(parts);
  }

  /** How many visits there are. */
  get length(): number {
    return this.#parts.length;
  }

  /** The steps, the same each time. */
  *steps(): Generator<Step, void, undefined> {
    const kept = new KeptParts(this.#room);
    for (let visit = 0; visit < this.length; visit++) {
      const part = this.#parts.at(visit);
      const isRead = !kept.release(part);
      const later = this.#later[visit] ?? 0;
      const dropped = later === 0 ? [] : kept.keep(part, this.#next[visit] ?? 0, countBits(later));
      yield {
        ...{ part, isRead, runs: [...this.#runsOf(visit)] },
        ...{ kept: dropped.includes(part) ? 0 : later, dropped },
      };
    }
  }

  *#runsOf(visit: number): Generator<Run, void, undefined> {
    const end = visit + 1 < this.length ? this.#firstRuns.at(visit + 1) : this.#runs.length;
    for (let index = this.#firstRuns.at(visit); index < end; index++) yield this.#runs.at(index);
  }

  #lookAhead(parts: number): void {
    const nextOfPart = new Uint32Array(parts).fill(this.length);
    for (let visit = this.length - 1; visit >= 0; visit--) {
      const part = this.#parts.at(visit);
      const next = nextOfPart[part] ?? this.length;
      this.#next[visit] = next;
      if (next < this.length) this.#later[visit] = (this.#later[next] ?? 0) | this.#wanted(next);
      nextOfPart[part] = visit;
    }
  }

  #wanted(visit: number): number {
    let wanted = 0;
    for (const { offset, count } of this.#runsOf(visit)) wanted |= bits(offset, count);
    return wanted;
  }
}

/** The parts of which chunks are kept. */
class KeptParts {
  readonly #room: number;
  readonly #parts = new Map<number, { readonly next: number; readonly chunks: number }>();
  #used = 0;

  constructor(room: number) {
    this.#room = room;
  }

  /** Forgets the chunks that are kept of a part. Returns whether there were any. */
  release(part: number): boolean {
    this.#used -= this.#parts.get(part)?.chunks ?? 0;
    return this.#parts.delete(part);
  }

  /** Keeps chunks until the visit `next`. Returns the parts that had to be dropped, perhaps this one. */
  keep(part: number, next: number, chunks: number): number[] {
    this.#parts.set(part, { next, chunks });
    this.#used += chunks;
    const dropped: number[] = [];
    while (this.#used > this.#room) {
      const last = this.#neededLast();
      this.release(last);
      dropped.push(last);
    }
    return dropped;
  }

  #neededLast(): number {
    let [found, latest] = [-1, -1];
    for (const [part, { next }] of this.#parts) if (next > latest) [found, latest] = [part, next];
    return found;
  }
}
