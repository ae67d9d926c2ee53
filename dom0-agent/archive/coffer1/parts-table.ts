import { bits, covers } from './chunk-mask.ts';
import { Uint32List } from './uint32-list.ts';

/** The most parts in a file: 32 TiB of data in parts of 4 MiB. */
export const MOST_PARTS = 2 ** 23;

/** A part as the table describes it. */
export interface TablePart {
  /** Bytes as stored. */
  readonly size: number;
  readonly chunks: number;
  readonly domain: string;
}

/** A row of the table. */
export interface PlacedPart extends TablePart {
  /** The index of its domain in `domains`. */
  readonly domainPlace: number;
  /** The file in which it was first stored; undefined for this one. */
  readonly bornIn: string | undefined;
  /** Its number there. */
  readonly number: number;
  /** Which of its original chunks are here, as bits. */
  readonly mask: number;
  /** Whether some chunks were left out, and it was sealed again. */
  readonly isTrimmed: boolean;
}

/** Parts that were first stored in one other file: from row `from` up to, not including, row `to`. */
export interface MovedParts {
  readonly backupId: string;
  readonly from: number;
  readonly to: number;
}

/**
 * All parts in a file, one a row, in the order of their positions, which follow from the sizes. Those that were first
 * stored in another file come first. Takes 12 bytes a part; 24 for one from another file.
 */
export class PartsTable {
  readonly #sizes = new Uint32List();
  readonly #chunks = new Uint32List();
  readonly #domainOf = new Uint32List();
  readonly #domains: string[] = [];
  readonly #places = new Map<string, number>();
  readonly #moved: { readonly backupId: string; readonly from: number; to: number }[] = [];
  /** For the parts from other files: their numbers there, and indices in `#moved`. */
  readonly #numbers = new Uint32List();
  readonly #movedFrom = new Uint32List();
  /** And which of their chunks are left, as bits; 0: all. */
  readonly #masks = new Uint32List();

  get length(): number {
    return this.#sizes.length;
  }

  /** In the order in which parts first name them. */
  get domains(): readonly string[] {
    return this.#domains;
  }

  /** How many parts were first stored in this file: those of the last rows. */
  get own(): number {
    return this.length - this.#numbers.length;
  }

  /** The others, by the file in which they were first stored, in the order of rows. */
  get moved(): readonly MovedParts[] {
    return this.#moved;
  }

  at(row: number): PlacedPart {
    const domainPlace = this.#domainOf.at(row);
    const domain = this.#domains[domainPlace] ?? '';
    const [size, chunks] = [this.#sizes.at(row), this.#chunks.at(row)];
    const common = { size, chunks, domain, domainPlace };
    const moved = this.#numbers.length;
    const whole = { mask: bits(0, chunks), isTrimmed: false };
    if (row >= moved) return { ...common, ...whole, bornIn: undefined, number: row - moved };
    const bornIn = this.#moved[this.#movedFrom.at(row)]?.backupId;
    const mask = this.#masks.at(row);
    const left = mask === 0 ? whole : { mask, isTrimmed: true };
    return { ...common, ...left, bornIn, number: this.#numbers.at(row) };
  }

  /** Whether there is such a row. */
  has(row: number): boolean {
    return row < this.length;
  }

  /**
   * The row of a part, by the file in which it was first stored and its number there; undefined if it is not here.
   *
   * @param bornIn undefined for this file
   */
  rowOf(bornIn: string | undefined, number: number): number | undefined {
    if (bornIn === undefined) return number < this.own ? this.#numbers.length + number : undefined;
    const rows = this.#moved.find(({ backupId }) => backupId === bornIn);
    let { from, to } = rows ?? { from: 0, to: 0 };
    while (from < to) {
      const middle = Math.floor((from + to) / 2);
      const found = this.#numbers.at(middle);
      if (found === number) return middle;
      if (found < number) from = middle + 1;
      else to = middle;
    }
    return undefined;
  }

  /** Whether `count` of the original chunks of the part in a row are here, from position `offset` on. */
  holds(row: number, offset: number, count: number): boolean {
    return covers(this.at(row).mask, bits(offset, count));
  }

  /** Adds a part that was first stored in this file. */
  add({ size, chunks, domain }: TablePart): void {
    this.#sizes.push(size);
    this.#chunks.push(chunks);
    this.#domainOf.push(this.#placeOf(domain));
  }

  /**
   * Adds part `number` of another file. These parts come before this file's own, those of one file together, ascending.
   * Throws RangeError for a number that does not ascend, or after a part of this file.
   *
   * @param mask for a trimmed part: which of its chunks are left; undefined: it is unchanged
   */
  addMoved(backupId: string, number: number, part: TablePart, mask?: number): void {
    const row = this.length;
    const last = this.#moved.at(-1);
    const goesOn = last?.backupId === backupId;
    if (this.own > 0 || (goesOn && this.#numbers.at(row - 1) >= number)) {
      throw new RangeError(`part ${number} of ${backupId} is not in its order`);
    }
    if (goesOn) last.to++;
    else this.#moved.push({ backupId, from: row, to: row + 1 });
    this.#numbers.push(number);
    this.#movedFrom.push(this.#moved.length - 1);
    this.#masks.push(mask ?? 0);
    this.add(part);
  }

  /** The sums over all parts. */
  totals(): { chunks: number; size: number } {
    let chunks = 0;
    let size = 0;
    for (let row = 0; row < this.length; row++) {
      chunks += this.#chunks.at(row);
      size += this.#sizes.at(row);
    }
    return { chunks, size };
  }

  #placeOf(domain: string): number {
    const known = this.#places.get(domain);
    if (known !== undefined) return known;
    this.#places.set(domain, this.#domains.length);
    return this.#domains.push(domain) - 1;
  }
}
