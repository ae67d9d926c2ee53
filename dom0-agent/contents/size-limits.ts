import type { ArchiveReader } from '../archive/archive.ts';
import type { NamedDirectories } from '../archive/official/stored-bounds.ts';
import { formatSize, GiB } from '../../shared/sizes.ts';
import { type BackedUpQube, type BackupContents, sizeOfDom0 } from '../qubes/backup-contents.ts';
import { DamagedError } from '../../shared/errors.ts';

/** In bytes. Sizes in qubes.xml are estimates, or missing: only what is far beyond them is refused. */
const LEAST_ALLOWED = 100 * GiB;

/** The same archive, but reading it fails when a VM has far more data than qubes.xml says. */
export function withSizeLimits(reader: ArchiveReader, contents: BackupContents): ArchiveReader {
  const named = namedDirectories(contents);
  return {
    header: reader.header,
    inSeries: reader.inSeries,
    qubesXml: () => reader.qubesXml(),
    files: (wanted) => reader.files(wanted, named),
  };
}

/** The limit in bytes for each directory of the archive; undefined when the directory of a VM is unknown. */
function namedDirectories(contents: BackupContents): NamedDirectories | undefined {
  const { qubes, unusable } = contents;
  const named = new Map<string, number>();
  for (const { qube, directory, size } of qubes) {
    const volumes = qube.volumes.reduce((sum, volume) => sum + volume.size, 0);
    named.set(directory, Math.max(LEAST_ALLOWED, 10 * size, 2 * volumes));
  }
  const ofDom0 = sizeOfDom0(contents);
  if (ofDom0 !== undefined) named.set('dom0-home', Math.max(LEAST_ALLOWED, 10 * ofDom0));
  for (const { directory } of unusable) {
    if (directory === undefined) return undefined;
    const owner = directory.startsWith('dom0-home/') ? 'dom0-home' : directory;
    if (!named.has(owner)) named.set(owner, LEAST_ALLOWED);
  }
  return named;
}

/** A volume is larger than the backup's settings say. */
export class TooLargeError extends DamagedError {}

/**
 * Throws TooLargeError for a volume that is larger than the backup's settings say: otherwise a few bytes of a backup
 * made on a compromised system could fill the disk. Formats 2 and 3 only record what the whole VM took on disk; there,
 * a sparse volume may be larger, but not without limit.
 *
 * @param size the volume's apparent size in bytes
 */
export function requireWithinLimit(
  { qube, size: taken }: BackedUpQube,
  volume: string,
  size: number,
): void {
  const stated = qube.volumes.find(({ name }) => name === volume)?.size ?? 0;
  const limit = stated > 0 ? stated : Math.max(LARGEST_UNSTATED, 10 * taken);
  if (size <= limit) return;
  throw new TooLargeError(
    `${volume} of ${qube.name} has ${formatSize(size)}, but the backup's settings say at most ` +
      `${formatSize(limit)}: if you trust the backup, use --ignore-size-limit`,
  );
}

/** In bytes. Qubes' default for a root volume is 20 GiB. */
const LARGEST_UNSTATED = 100 * GiB;
