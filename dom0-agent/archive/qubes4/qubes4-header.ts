import { randomInt } from 'node:crypto';
import { DamagedError } from '../../../shared/errors.ts';
import type { Header } from '../archive.ts';
import { compressionFilterOf, isTrue } from '../official/header-fields.ts';
import { COFFER_MANIFEST } from './qubes4-manifest.ts';

/** The header of a format 4 archive. */
export interface Qubes4Header extends Header {
  readonly format: 'qubes-4';
  readonly backupId: string;
  /** The format has no unencrypted archives. */
  readonly encrypted: true;
}

/** Whether the header announces a manifest. Throws DamagedError. */
export function hasManifest(fields: ReadonlyMap<string, string>): boolean {
  return fields.has(COFFER_MANIFEST) && isTrue(fields, COFFER_MANIFEST);
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
    `${COFFER_MANIFEST}=True`,
  ];
  return Buffer.from(lines.map((line) => `${line}\n`).join(''));
}
