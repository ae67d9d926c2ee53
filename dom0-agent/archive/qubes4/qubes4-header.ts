import { DamagedError, FailedError } from '../../../shared/errors.ts';
import { printable } from '../../../shared/printable.ts';
import { filterIn } from '../compress/compression.ts';
import type { Header } from '../archive-header.ts';

/** The header of a format 4 archive. */
export interface Qubes4Header extends Header {
  readonly format: 'qubes-4';
  readonly backupId: string;
  /** The format has no unencrypted archives. */
  readonly encrypted: true;
}

/**
 * Reads the fields of a header whose MAC holds. Throws DamagedError or FailedError.
 *
 * @param forcedFilter see `compressionFilterOf`
 */
export function parseQubes4Header(
  fields: ReadonlyMap<string, string>,
  forcedFilter?: string,
): Qubes4Header {
  const backupId = fields.get('backup-id') ?? '';
  if (!/^[A-Za-z0-9][A-Za-z0-9-]*$/.test(backupId)) {
    throw new DamagedError('the header of the backup has no sound backup-id');
  }
  if (fields.get('hmac-algorithm') !== 'scrypt') {
    throw new DamagedError('the header of the backup does not name scrypt, as format 4 has it');
  }
  return {
    format: 'qubes-4',
    backupId,
    encrypted: true,
    compressionFilter: compressionFilterOf(fields, forcedFilter),
  };
}

/** Whether a key of the header says yes. Official archives say `True` or `False`. */
export function isTrue(fields: ReadonlyMap<string, string>, key: string): boolean {
  const value = fields.get(key)?.toLowerCase() ?? '';
  if (['true', 'yes', '1'].includes(value)) return true;
  if (['false', 'no', '0'].includes(value)) return false;
  throw new DamagedError(`the header of the backup does not say whether it is ${key}`);
}

/**
 * What a header of formats 2 to 4 tells of compression. Throws FailedError for a filter that coffer
 * cannot undo.
 *
 * @param forced the filter to take instead of the one that the header names
 */
export function compressionFilterOf(
  fields: ReadonlyMap<string, string>,
  forced: string | undefined,
): string | undefined {
  if (!isTrue(fields, 'compressed')) return undefined;
  const command = fields.get('compression-filter') ?? 'gzip';
  const name = forced ?? filterIn(command);
  if (name !== undefined) return name;
  throw new FailedError(
    `the backup was compressed with "${printable(command, 40)}", which coffer does not know: if another ` +
      'program can undo that, name it with -Z',
  );
}
