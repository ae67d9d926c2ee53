import { randomInt } from 'node:crypto';
import { DamagedError, FailedError } from '../../../shared/errors.ts';
import { printable } from '../../../shared/printable.ts';
import { filterIn } from '../compress/compression.ts';
import type { Header } from '../archive.ts';
import type { ManifestForm } from '../parts/manifest.ts';
import { SCRYPT_MAC } from './scrypt-file.ts';

/** The header of a format 4 archive. */
export interface Qubes4Header extends Header {
  readonly format: 'qubes-4';
  readonly backupId: string;
  /** The format has no unencrypted archives. */
  readonly encrypted: true;
}

/**
 * The last file of a format 4 archive that coffer wrote. No VM has that directory, so the official tools
 * ignore it. The authenticated header announces it with a key of the same name, so that it cannot be removed
 * unnoticed. Official tools ignore unknown keys.
 */
export const MANIFEST: ManifestForm = {
  path: 'coffer-manifest',
  firstLine: 'coffer-manifest 1',
  macLength: 2 * SCRYPT_MAC,
  listsFiles: false,
};

/** Whether the header announces a manifest. Throws DamagedError. */
export function hasManifest(fields: ReadonlyMap<string, string>): boolean {
  return fields.has(MANIFEST.path) && isTrue(fields, MANIFEST.path);
}

/**
 * Parses the fields of an authenticated header. Throws DamagedError or FailedError.
 *
 * @param forcedFilter see `compressionFilterOf`
 */
export function parseQubes4Header(
  fields: ReadonlyMap<string, string>,
  forcedFilter?: string,
): Qubes4Header {
  const backupId = fields.get('backup-id') ?? '';
  if (!/^[A-Za-z0-9][A-Za-z0-9-]*$/.test(backupId)) {
    throw new DamagedError('the header of the backup has no valid backup-id');
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

/**
 * A new `backup-id`, in the form of the official writer: the time and a number, there a process id, here
 * random, so that no two backups share it.
 */
export function newBackupId(created: Date): string {
  const time = created.toISOString().replace(/[-:]|\.\d+Z$/g, '');
  return `${time}-${randomInt(2 ** 48 - 1)}`;
}

/**
 * The bytes of the member `backup-header`: the official writer's lines, and one that announces the manifest.
 * A filter is named even if nothing is compressed, as the official writer does.
 */
export function formatQubes4Header(
  backupId: string,
  compressionFilter: string | undefined,
): Buffer {
  const lines = [
    'version=4',
    'encrypted=True',
    `compressed=${compressionFilter === undefined ? 'False' : 'True'}`,
    `compression-filter=${compressionFilter ?? 'gzip'}`,
    'hmac-algorithm=scrypt',
    `backup-id=${backupId}`,
    `${MANIFEST.path}=True`,
  ];
  return Buffer.from(lines.map((line) => `${line}\n`).join(''));
}
