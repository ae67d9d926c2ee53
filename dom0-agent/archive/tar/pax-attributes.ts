import { DamagedError } from '../../../shared/errors.ts';
import type { PaxRecord } from './pax.ts';
import { decimal } from './pax-sparse.ts';

/** The keywords that say what a member is. Others (times, owners, comments) do no harm. */
const DEFINING = /^(path|linkpath|size|GNU\.sparse\..*)$/;

/**
 * What the headers before a member tell of it: pax records, and GNU tar's long names under the
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

  /** Seconds since 1970; fractions and years before that are dropped. */
  get mtime(): number | undefined {
    return decimal(this.#last('mtime')?.split('.')[0]);
  }

  /** The bytes that follow in the archive. Throws DamagedError when they cannot be read. */
  get storedSize(): number | undefined {
    return this.#number('size');
  }

  /** The size of a sparse file, holes included. Throws DamagedError when it cannot be read. */
  get realSize(): number | undefined {
    return this.#number('GNU.sparse.realsize');
  }

  /** How a sparse file's map is told; undefined when the file is not sparse. */
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

/** A pax header for all members (`g`) may not say what they are. Throws DamagedError if it does. */
export function checkGlobalRecords(records: readonly PaxRecord[], where: string): void {
  if (records.some(([keyword]) => DEFINING.test(keyword))) {
    throw new DamagedError(`${where} is damaged: a pax header gives all members one name or size`);
  }
}
