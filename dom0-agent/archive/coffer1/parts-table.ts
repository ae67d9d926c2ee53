import { bits, countBits, covers, placesIn } from './chunk-mask.ts';
import { MOST_CHUNKS_IN_PART } from './coffer1-header.ts';
import { Uint32List } from './uint32-list.ts';
import { MOST_BACKUPS } from './runs.ts';
import { NUMBER, WORD, textLines, textPieces, invalid } from './text-lines.ts';

export const PARTS_PATH = 'parts';
/** As many volumes as ten thousand VMs have. */
const MOST_DOMAINS = 2 ** 16;
/** 32 TiB of data in parts of 4 MiB. */
export const MOST_PARTS = 2 ** 23;

/** A part as the table tells of it. */
export interface TablePart {
  /** Bytes as stored. */
  readonly size: number;
  readonly chunks: number;
  readonly domain: string;
}

/** A part where it lies. */
export interface PlacedPart extends TablePart {
  readonly domainPlace: number;
  /** The file that it was born in; undefined for this one. */
  readonly bornIn: string | undefined;
  /** Its number there. */
  readonly number: number;
  /** Which of the chunks that it was born with are here, as bits. */
  readonly mask: number;
  /** Whether some were left out, and it was sealed anew. */
  readonly isTrimmed: boolean;
}

/** Parts of a file that were born in one other: from row `from` up to, not including, row `to`. */
export interface MovedParts {
  readonly backupId: string;
  readonly from: number;
  readonly to: number;
}

/**
 * All parts in a file, by row, which is the order in which they lie: 12 bytes each, 24 of those that were born in another
 * file, which come first. Where each lies follows from the sizes before it.
 */
export class PartsTable {
  readonly #sizes = new Uint32List();
  readonly #chunks = new Uint32List();
  readonly #domainOf = new Uint32List();
  readonly #domains: string[] = [];
  readonly #places = new Map<string, number>();
  readonly #moved: { readonly backupId: string; readonly from: number; to: number }[] = [];
  /** Of the parts that were born in other files: their numbers there, and places in `#moved`. */
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

  /** How many parts were born in this file: those of the last rows. */
  get own(): number {
    return this.length - this.#numbers.length;
  }

  /** The others, by the file that they were born in, in their order. */
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
   * The row of part `number` of the file that it was born in; undefined when it is not here.
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

  /** Whether `count` chunks of the part in a row are here, from number `offset` on of those that it was born with. */
  holds(row: number, offset: number, count: number): boolean {
    return covers(this.at(row).mask, bits(offset, count));
  }

  /** Adds a part that was born here. */
  add({ size, chunks, domain }: TablePart): void {
    this.#sizes.push(size);
    this.#chunks.push(chunks);
    this.#domainOf.push(this.#placeOf(domain));
  }

  /**
   * Adds part `number` of another file. They come before those born here; those of one file together, ascending.
   * Throws RangeError for what is out of this order.
   *
   * @param mask of a part that was trimmed, which of its chunks are left; undefined: it is as it was
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

  /** Sums of all parts. */
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

/** The text of the table, in pieces. */
export function formatPartsTable(table: PartsTable): Generator<Buffer, void, undefined> {
  return textPieces(tableLines(table));
}

function* tableLines(table: PartsTable): Generator<string, void, undefined> {
  yield 'coffer-1 parts';
  for (const [place, domain] of table.domains.entries()) yield `domain ${place} ${domain}`;
  for (const { backupId, from, to } of table.moved) {
    yield `from ${backupId}`;
    for (let row = from; row < to; row++) {
      const { number, size, chunks, domainPlace, mask, isTrimmed } = table.at(row);
      yield isTrimmed
        ? `trimmed ${number} ${size} ${formatMask(mask)} ${domainPlace}`
        : `moved ${number} ${size} ${chunks} ${domainPlace}`;
    }
  }
  for (let row = table.length - table.own; row < table.length; row++) {
    const { size, chunks, domainPlace } = table.at(row);
    yield `part ${size} ${chunks} ${domainPlace}`;
  }
  const { chunks, size } = table.totals();
  yield `end ${table.length} ${chunks} ${size}`;
}

/** A character for each chunk as far as the last that is there: 1 for those that are. */
function formatMask(mask: number): string {
  const places = placesIn(mask);
  return Array.from({ length: 1 + (places.at(-1) ?? 0) }, (_, place) =>
    places.includes(place) ? '1' : '0',
  ).join('');
}

const WHAT = 'the table of parts';
const DOMAIN = new RegExp(`^domain (${NUMBER}) (${WORD})$`);
const FROM = /^from ([0-9a-f]{32})$/;
const MOVED = new RegExp(`^moved (${NUMBER}) (${NUMBER}) (${NUMBER}) (${NUMBER})$`);
const TRIMMED = new RegExp(
  `^trimmed (${NUMBER}) (${NUMBER}) ([01]{0,${MOST_CHUNKS_IN_PART - 1}}1) (${NUMBER})$`,
);
const PART = new RegExp(`^part (${NUMBER}) (${NUMBER}) (${NUMBER})$`);

/**
 * Reads the table from its text, which comes in pieces and is authentic. There is one text for each table: any
 * other is a DamagedError.
 *
 * @param mostStored the most bytes that a part can have
 */
export async function parsePartsTable(
  pieces: AsyncIterable<Buffer>,
  mostStored: number,
): Promise<PartsTable> {
  const parser = new TableParser(mostStored);
  for await (const lines of textLines(pieces, WHAT)) {
    for (const line of lines) if (!parser.take(line)) throw invalid(WHAT);
  }
  if (!parser.ended) throw invalid(WHAT);
  return parser.table;
}

class TableParser {
  readonly table = new PartsTable();
  ended = false;
  readonly #mostStored: number;
  readonly #domains: string[] = [];
  readonly #known = new Set<string>();
  readonly #origins = new Set<string>();
  /** Where the present parts were born, and the number of the last of them, -1 before there is one. */
  #origin: { readonly backupId: string; last: number } | undefined;
  #begun = false;

  constructor(mostStored: number) {
    this.#mostStored = mostStored;
  }

  /** Whether the line can stand where it does. */
  take(line: string): boolean {
    if (this.ended) return false;
    if (!this.#begun) return (this.#begun = line === 'coffer-1 parts');
    if (line.startsWith('domain ')) return this.#takeDomain(line);
    if (line.startsWith('moved ')) return this.#takeMoved(line);
    if (line.startsWith('trimmed ')) return this.#takeTrimmed(line);
    if (this.#origin?.last === -1) return false;
    if (line.startsWith('from ')) return this.#takeFrom(line);
    if (line.startsWith('part ')) return this.#takePart(line);
    const { chunks, size } = this.table.totals();
    this.ended = line === `end ${this.table.length} ${chunks} ${size}`;
    return this.ended && this.table.domains.length === this.#domains.length;
  }

  #takeDomain(line: string): boolean {
    const [, place, domain] = DOMAIN.exec(line) ?? [];
    const isLate = this.table.length > 0 || this.#origin !== undefined;
    if (domain === undefined || isLate || this.#known.has(domain)) return false;
    this.#known.add(domain);
    return Number(place) === this.#domains.length && this.#domains.push(domain) <= MOST_DOMAINS;
  }

  #takeFrom(line: string): boolean {
    const [, backupId] = FROM.exec(line) ?? [];
    if (backupId === undefined || this.#origins.has(backupId) || this.table.own > 0) return false;
    this.#origins.add(backupId);
    this.#origin = { backupId, last: -1 };
    return this.#origins.size <= MOST_BACKUPS;
  }

  #takeMoved(line: string): boolean {
    const match = MOVED.exec(line);
    if (match === null) return false;
    const [number = 0, size = 0, chunks = 0, place = 0] = match.slice(1).map(Number);
    return this.#addMoved(number, this.#part(size, chunks, place), undefined);
  }

  #takeTrimmed(line: string): boolean {
    const [, number, size, mask, place] = TRIMMED.exec(line) ?? [];
    if (mask === undefined) return false;
    let left = 0;
    for (let at = 0; at < mask.length; at++) if (mask[at] === '1') left |= bits(at, 1);
    const part = this.#part(Number(size), countBits(left), Number(place));
    return this.#addMoved(Number(number), part, left >>> 0);
  }

  #addMoved(number: number, part: TablePart | undefined, mask: number | undefined): boolean {
    const origin = this.#origin;
    if (part === undefined || origin === undefined || this.table.own > 0) return false;
    if (number <= origin.last || number >= MOST_PARTS) return false;
    origin.last = number;
    this.table.addMoved(origin.backupId, number, part, mask);
    return true;
  }

  #takePart(line: string): boolean {
    const match = PART.exec(line);
    if (match === null) return false;
    const [size = 0, chunks = 0, place = 0] = match.slice(1).map(Number);
    const part = this.#part(size, chunks, place);
    if (part === undefined) return false;
    this.table.add(part);
    return true;
  }

  /** Undefined for a part that there cannot be. */
  #part(size: number, chunks: number, place: number): TablePart | undefined {
    const domain = this.#domains[place];
    if (domain === undefined || place > this.table.domains.length) return undefined;
    if (size > this.#mostStored || chunks > MOST_CHUNKS_IN_PART) return undefined;
    return this.table.length < MOST_PARTS ? { size, chunks, domain } : undefined;
  }
}
