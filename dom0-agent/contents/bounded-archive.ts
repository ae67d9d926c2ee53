import type { ArchiveReader } from '../archive/archive.ts';
import type { NamedDirectories } from '../archive/parts/stored-bounds.ts';
import { GiB } from '../../shared/sizes.ts';
import type { BackupContents } from './contents.ts';

/** Sizes in a list of VMs are estimates, and some lists tell none: only what is far beyond them is refused. */
const LEAST_ALLOWED = 100 * GiB;

/** The same archive, of which no more can come than its list of VMs names. */
export function bounded(reader: ArchiveReader, contents: BackupContents): ArchiveReader {
  const named = namedDirectories(contents);
  return {
    header: reader.header,
    qubesXml: () => reader.qubesXml(),
    files: (wanted) => reader.files(wanted, named),
  };
}

/** Undefined when a VM does not tell where its files are. */
function namedDirectories({
  qubes,
  dom0Home,
  unusable,
}: BackupContents): NamedDirectories | undefined {
  const named = new Map<string, number>();
  for (const { qube, directory, size } of qubes) {
    const volumes = qube.volumes.reduce((sum, volume) => sum + volume.size, 0);
    named.set(directory, Math.max(LEAST_ALLOWED, 10 * size, 2 * volumes));
  }
  if (dom0Home !== undefined) {
    named.set(dom0Home.directory.split('/')[0] ?? '', Math.max(LEAST_ALLOWED, 10 * dom0Home.size));
  }
  for (const { directory } of unusable) {
    if (directory === undefined) return undefined;
    const owner = directory.startsWith('dom0-home/') ? 'dom0-home' : directory;
    if (!named.has(owner)) named.set(owner, LEAST_ALLOWED);
  }
  return named;
}
