import { bits, countBits, placesIn } from './chunk-mask.ts';
import { MOST_CHUNKS_IN_PART } from './coffer1-header.ts';
import { MOST_PARTS, PartsTable, type TablePart } from './parts-table.ts';
import { MOST_BACKUPS } from './runs.ts';
import { NUMBER, WORD, textLines, textPieces, invalid } from './text-lines.ts';

export const PARTS_PATH = 'parts';
/** More volumes than ten thousand VMs have. */
const MOST_DOMAINS = 2 ** 16;

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

/** A character for each original chunk of a part up to the last one that is left: 1 if it is left, else 0. */
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
 * Parses the text of the table, which comes in pieces and is authentic. Throws DamagedError unless it is exactly as
 * `formatPartsTable` writes it.
 *
 * @param mostStored the largest stored size of a part, in bytes
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
  /** The file in which the current parts were first stored, and the number of the last one; -1 if there is none yet. */
  #origin: { readonly backupId: string; last: number } | undefined;
  #begun = false;

  constructor(mostStored: number) {
    this.#mostStored = mostStored;
  }

  /** Takes the next line. Returns whether it is valid there. */
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

  /** Undefined for an impossible part. */
  #part(size: number, chunks: number, place: number): TablePart | undefined {
    const domain = this.#domains[place];
    if (domain === undefined || place > this.table.domains.length) return undefined;
    if (size > this.#mostStored || chunks > MOST_CHUNKS_IN_PART) return undefined;
    return this.table.length < MOST_PARTS ? { size, chunks, domain } : undefined;
  }
}
