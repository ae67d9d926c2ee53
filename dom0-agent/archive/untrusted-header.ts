import { DamagedError } from '../../shared/errors.ts';
import type { OuterTarReader } from './tar/outer-reader.ts';

/** The member that every backup begins with, but for the oldest. */
export const HEADER_NAME = 'backup-header';
/** The official reader's limit is 1 MiB; a real header has some 300 bytes. */
export const LARGEST_HEADER = 16 * 1024;

/** What `qvm-backup -Z` was given stands here as it is: `xz -0`. */
const COMMAND_KEY = 'compression-filter';
const COMMAND = /^[\x20-\x3c\x3e-\x7e]{0,200}$/;

/** The first two members of an archive, read before its format is known. */
export interface UntrustedHeader {
  /** Stands behind the two. */
  readonly tar: OuterTarReader;
  /** What `backup-header` holds, as it is and by key. */
  readonly untrustedBytes: Buffer;
  readonly untrustedFields: ReadonlyMap<string, string>;
  /** What `backup-header.hmac` holds. */
  readonly untrustedMac: Buffer;
}

/**
 * Takes the bytes of `backup-header` apart: lines `key=value` of letters, digits and `-`, no key twice, and
 * only the compression filter may be more than that (docs/official-formats.md). Throws DamagedError.
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
      throw new DamagedError('the header of the backup holds a line that is not valid');
    }
    fields.set(key, value);
  }
  return fields;
}
