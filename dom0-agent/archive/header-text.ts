import { DamagedError } from '../../shared/errors.ts';

/** The member that every backup begins with, but for the oldest. */
export const HEADER_NAME = 'backup-header';
/** The official reader's limit is 1 MiB; a real header has some 300 bytes. */
export const LARGEST_HEADER = 16 * 1024;

/**
 * Takes the bytes of `backup-header` apart: lines `key=value` of letters, digits and `-`, no key twice
 * (docs/official-formats.md). Throws DamagedError.
 */
export function parseHeaderText(untrustedBytes: Buffer): Map<string, string> {
  const untrustedLines = untrustedBytes.toString('latin1').split('\n');
  if (untrustedLines.pop() !== '') {
    throw new DamagedError('the header of the backup does not end with a line');
  }
  const fields = new Map<string, string>();
  for (const untrustedLine of untrustedLines) {
    const match = /^([A-Za-z0-9-]+)=([A-Za-z0-9-]*)$/.exec(untrustedLine);
    if (match?.[1] === undefined || match[2] === undefined || fields.has(match[1])) {
      throw new DamagedError('the header of the backup holds a line that is not sound');
    }
    fields.set(match[1], match[2]);
  }
  return fields;
}
