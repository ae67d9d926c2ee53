import { MOST_CHUNKS_IN_PART } from './coffer1-header.ts';
import { Numbers } from './numbers.ts';
import { NUMBER, WORD, textLines, textPieces, invalid } from './text-lines.ts';

export const PARTS_PATH = 'parts';
/** As many volumes as ten thousand VMs have. */
const MOST_DOMAINS = 2 ** 16;
/** 32 TiB of data in parts of 4 MiB. */
export const MOST_PARTS = 2 ** 23;

/** A part of a file's own data as the table tells of it. */
export interface TablePart {
  /** Bytes as stored. */
  readonly size: number;
  readonly chunks: number;
  readonly domain: string;
}

/** All parts of data in a file, by number: 12 bytes each. Where each lies follows from the sizes before it. */
export class PartsTable {
  readonly #sizes = new Numbers();
  readonly #chunks = new Numbers();
  readonly #domainOf = new Numbers();
  readonly #domains: string[] = [];
  readonly #places = new Map<string, number>();

  get length(): number {
    return this.#sizes.length;
  }

  /** In the order in which parts first name them. */
  get domains(): readonly string[] {
    return this.#domains;
  }

  at(part: number): TablePart & { readonly domainPlace: number } {
    const domainPlace = this.#domainOf.at(part);
    const domain = this.#domains[domainPlace] ?? '';
    return { size: this.#sizes.at(part), chunks: this.#chunks.at(part), domain, domainPlace };
  }

  /** Whether there is such a part. */
  has(part: number): boolean {
    return part < this.length;
  }

  add({ size, chunks, domain }: TablePart): void {
    this.#sizes.push(size);
    this.#chunks.push(chunks);
    this.#domainOf.push(this.#placeOf(domain));
  }

  /** Sums of all parts. */
  totals(): { chunks: number; size: number } {
    let chunks = 0;
    let size = 0;
    for (let part = 0; part < this.length; part++) {
      chunks += this.#chunks.at(part);
      size += this.#sizes.at(part);
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
  for (let part = 0; part < table.length; part++) {
    const { size, chunks, domainPlace } = table.at(part);
    yield `part ${size} ${chunks} ${domainPlace}`;
  }
  const { chunks, size } = table.totals();
  yield `end ${table.length} ${chunks} ${size}`;
}

const WHAT = 'the table of parts';
const DOMAIN = new RegExp(`^domain (${NUMBER}) (${WORD})$`);
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
  #begun = false;

  constructor(mostStored: number) {
    this.#mostStored = mostStored;
  }

  /** Whether the line can stand where it does. */
  take(line: string): boolean {
    if (this.ended) return false;
    if (!this.#begun) return (this.#begun = line === 'coffer-1 parts');
    if (line.startsWith('domain ')) return this.#takeDomain(line);
    if (line.startsWith('part ')) return this.#takePart(line);
    const { chunks, size } = this.table.totals();
    this.ended = line === `end ${this.table.length} ${chunks} ${size}`;
    return this.ended && this.table.domains.length === this.#domains.length;
  }

  #takeDomain(line: string): boolean {
    const [, place, domain] = DOMAIN.exec(line) ?? [];
    if (domain === undefined || this.table.length > 0 || this.#known.has(domain)) return false;
    this.#known.add(domain);
    return Number(place) === this.#domains.length && this.#domains.push(domain) <= MOST_DOMAINS;
  }

  #takePart(line: string): boolean {
    const match = PART.exec(line);
    if (match === null) return false;
    const [size = 0, chunks = 0, place = 0] = match.slice(1).map(Number);
    const domain = this.#domains[place];
    if (domain === undefined || place > this.table.domains.length) return false;
    if (size > this.#mostStored || chunks > MOST_CHUNKS_IN_PART) return false;
    if (this.table.length >= MOST_PARTS) return false;
    this.table.add({ size, chunks, domain });
    return true;
  }
}
