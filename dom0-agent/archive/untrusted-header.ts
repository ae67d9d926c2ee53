import { DamagedError } from '../../shared/errors.ts';
import type { OuterTarReader } from './tar/outer-reader.ts';

/** The first member of every backup except the oldest. */
export const HEADER_NAME = 'backup-header';
/** The official reader's limit is 1 MiB; a real header has about 300 bytes. */
export const LARGEST_HEADER = 16 * 1024;

/** Contains the argument of `qvm-backup -Z` unchanged: `xz -0`. */
const COMMAND_KEY = 'compression-filter';
const COMMAND = /^[\x20-\x3c\x3e-\x7e]{0,200}$/;

/** The first two members of an archive, read before its format is known. */
export interface UntrustedHeader {
  /** Positioned after the two. */
  readonly tar: OuterTarReader;
  /** The contents of `backup-header`, as they are and by key. */
  readonly untrustedBytes: Buffer;
  readonly untrustedFields: ReadonlyMap<string, string>;
  /** The contents of `backup-header.hmac`. */
  readonly untrustedMac: Buffer;
}

/**
 * Parses the bytes of `backup-header`: lines `key=value` of letters, digits and `-`, no key twice; only the
 * compression filter may have other characters (docs/official-formats.md). Throws DamagedError.
 */
export function parseHeaderText(untrustedBytes: Buffer): Map<string, string> {
  const untrustedLines = untrustedBytes.toString('latin1').split('\n');
  if (untrustedLines.pop() !== '') {
    throw new DamagedError('the header of the backup does not end with a line');
  }
  const fields = new Map<string, string>();
  for (const untrustedLine of untrustedLines) {
    const match = /^([A-Za-z0-9-]+)=([^=]*)$/.exec(untrustedLine);
    const [, key = '', value = ''] = match ?? [];
    const isValid = (key === COMMAND_KEY ? COMMAND : /^[A-Za-z0-9-]*$/).test(value);
    if (match === null || !isValid || fields.has(key)) {
      throw new DamagedError('the header of the backup contains a line that is not valid');
    }
    fields.set(key, value);
  }
  return fields;
}
