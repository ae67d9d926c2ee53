import type { ArchiveReader } from '../archive/archive.ts';
import { parseArchivedPath } from './archived-files.ts';
import { backedUpFiles, whyIncomplete } from './backed-up-files.ts';
import type { BackupContents } from '../qubes/backup-contents.ts';

/**
 * The same contents, the VMs that are not whole in the backup among those that cannot be restored. Only for an
 * archive that can seek: one that is a stream tells of each when its turn comes. Throws DamagedError.
 */
export async function withIncompleteUnusable(
  contents: BackupContents,
  reader: ArchiveReader,
): Promise<BackupContents> {
  const reasons = await reasonsByDirectory(reader);
  const { qubes, unusable } = contents;
  const incomplete = qubes.flatMap(({ qube, directory }) => {
    const why = reasons.get(directory);
    return why === undefined ? [] : [{ name: qube.name, why, directory }];
  });
  return {
    ...contents,
    qubes: qubes.filter(({ directory }) => !reasons.has(directory)),
    unusable: [...unusable, ...incomplete],
  };
}

async function reasonsByDirectory(reader: ArchiveReader): Promise<ReadonlyMap<string, string>> {
  const reasons = new Map<string, string>();
  const tellsWhy = (path: string) => parseArchivedPath(path).kind === 'incomplete';
  for await (const archived of reader.files(tellsWhy)) {
    for await (const file of backedUpFiles(archived)) {
      reasons.set(file.place.directory, await whyIncomplete(file));
    }
  }
  return reasons;
}
