import { randomInt } from 'node:crypto';
import { MANIFEST_PATH } from './qubes4-manifest.ts';

/**
 * A new `backup-id`, in the shape that the official writer gives it: the time and a number, there of a
 * process, here random, so that no two backups share it.
 */
export function newBackupId(created: Date): string {
  const time = created.toISOString().replace(/[-:]|\.\d+Z$/g, '');
  return `${time}-${randomInt(2 ** 48 - 1)}`;
}

/**
 * The bytes of the member `backup-header`: the official writer's lines, and one that tells of the
 * manifest. A filter is named even where nothing is compressed, as the official writer does.
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
    `${MANIFEST_PATH}=True`,
  ];
  return Buffer.from(lines.map((line) => `${line}\n`).join(''));
}
