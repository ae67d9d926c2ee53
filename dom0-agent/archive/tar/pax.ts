import { DamagedError } from '../../../shared/errors.ts';

/** A record of a pax header (POSIX.1-2001): keyword and value, one character per byte (latin1). */
export type PaxRecord = readonly [keyword: string, value: string];

/** Reads the records of a pax header. Throws a DamagedError that begins with `where`. */
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

/** The bytes of a pax header. */
export function encodePax(records: readonly PaxRecord[]): Buffer {
  return Buffer.from(records.map(encodeRecord).join(''), 'latin1');
}

interface ParsedRecord {
  readonly keyword: string;
  readonly value: string;
  readonly end: number;
}

/** A record is `<length> <keyword>=<value>\n`; its length counts all of it, itself too. */
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

function encodeRecord([keyword, value]: PaxRecord): string {
  const rest = ` ${keyword}=${value}\n`;
  let length = rest.length;
  while (String(length).length + rest.length !== length)
    length = String(length).length + rest.length;
  return `${length}${rest}`;
}
