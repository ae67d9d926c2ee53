import { DamagedError } from '../../../shared/errors.ts';

/** A record of a pax header (POSIX.1-2001): keyword and value, one character per byte (latin1). */
export type PaxRecord = readonly [keyword: string, value: string];

/** Parses the records of a pax header. Throws a DamagedError that begins with `where`. */
export function parsePax(untrustedBytes: Buffer, where: string): PaxRecord[] {
  const records: PaxRecord[] = [];
  for (let start = 0; start < untrustedBytes.length;) {
    const record = parseRecord(untrustedBytes, start);
    if (record === undefined) {
      throw new DamagedError(`${where} is damaged: a pax header cannot be read`);
    }
    records.push([record.keyword, record.value]);
    start = record.end;
  }
  return records;
}

interface ParsedRecord {
  readonly keyword: string;
  readonly value: string;
  readonly end: number;
}

/** A record is `<length> <keyword>=<value>\n`; the length includes itself. */
function parseRecord(untrustedBytes: Buffer, start: number): ParsedRecord | undefined {
  const untrustedLength = /^[0-9]{1,7}(?= )/.exec(
    untrustedBytes.toString('latin1', start, start + 8),
  )?.[0];
  if (untrustedLength === undefined) return undefined;
  const from = start + untrustedLength.length + 1;
  const end = start + Number(untrustedLength);
  if (end <= from || end > untrustedBytes.length || untrustedBytes[end - 1] !== 0x0a) {
    return undefined;
  }
  const untrustedRecord = untrustedBytes.toString('latin1', from, end - 1);
  const equals = untrustedRecord.indexOf('=');
  if (equals < 1) return undefined;
  return {
    keyword: untrustedRecord.slice(0, equals),
    value: untrustedRecord.slice(equals + 1),
    end,
  };
}

/** The keywords that define a member. Others (times, owners, comments) do not matter. */
const DEFINING = /^(path|linkpath|size|GNU\.sparse\..*)$/;

/**
 * What the headers before a member say about it: pax records, and GNU tar's long names under the
 * keywords that pax has for them.
 */
export class PaxAttributes {
  readonly records: readonly PaxRecord[];
  readonly #where: string;

  constructor(records: readonly PaxRecord[], where: string) {
    this.records = records;
    this.#where = where;
  }

  get path(): string | undefined {
    return this.#last('GNU.sparse.name') ?? this.#last('path');
  }

  get linkTarget(): string | undefined {
    return this.#last('linkpath');
  }

  /** The number of bytes that follow in the archive. Throws DamagedError when it is invalid. */
  get storedSize(): number | undefined {
    return this.#number('size');
  }

  /** The size of a sparse file, holes included. Throws DamagedError when it is invalid. */
  get realSize(): number | undefined {
    return this.#number('GNU.sparse.realsize');
  }

  /** Where the map of a sparse file is; undefined when the file is not sparse. */
  get sparseVersion(): 'map before data' | 'map in header' | undefined {
    const version = `${this.#last('GNU.sparse.major') ?? ''}.${this.#last('GNU.sparse.minor') ?? ''}`;
    if (version === '1.0') return 'map before data';
    if (version !== '.') throw this.#damaged('a sparse file is of an unknown version');
    return this.#last('GNU.sparse.size') === undefined ? undefined : 'map in header';
  }

  #last(keyword: string): string | undefined {
    return this.records.findLast(([key]) => key === keyword)?.[1];
  }

  #number(keyword: string): number | undefined {
    const untrustedText = this.#last(keyword);
    if (untrustedText === undefined) return undefined;
    const value = decimal(untrustedText);
    if (value === undefined) throw this.#damaged('a pax header has a number that cannot be read');
    return value;
  }

  #damaged(what: string): DamagedError {
    return new DamagedError(`${this.#where} is damaged: ${what}`);
  }
}

/** A pax header for all members (`g`) must not define them. Throws DamagedError if it does. */
export function checkGlobalRecords(records: readonly PaxRecord[], where: string): void {
  if (records.some(([keyword]) => DEFINING.test(keyword))) {
    throw new DamagedError(
      `${where} is damaged: a pax header gives all members the same name or size`,
    );
  }
}

/** A decimal number up to 2^53 - 1; undefined for anything else. */
export function decimal(untrustedText: string | undefined): number | undefined {
  if (untrustedText === undefined || !/^[0-9]{1,16}$/.test(untrustedText)) return undefined;
  const value = Number(untrustedText);
  return Number.isSafeInteger(value) ? value : undefined;
}
