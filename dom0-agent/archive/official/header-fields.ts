import { DamagedError, FailedError } from '../../../shared/errors.ts';
import { printable } from '../../../shared/printable.ts';
import { filterIn } from '../compress/compression.ts';

/** Whether a key of the header is true. Official archives say `True` or `False`. */
export function isTrue(fields: ReadonlyMap<string, string>, key: string): boolean {
  const value = fields.get(key)?.toLowerCase() ?? '';
  if (['true', 'yes', '1'].includes(value)) return true;
  if (['false', 'no', '0'].includes(value)) return false;
  throw new DamagedError(`the header of the backup does not say whether it is ${key}`);
}

/**
 * The compression filter named by a header of formats 2 to 4. Throws FailedError for one that coffer does not
 * support.
 *
 * @param forced the filter to use instead of the one that the header names
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
    `the backup was compressed with "${printable(command, 40)}", which coffer does not support: if another ` +
      'program can decompress it, name that with -Z',
  );
}
