import type { ArchiveReader } from '../archive/archive.ts';
import { parseArchivedPath } from './archived-files.ts';
import { backedUpFiles, whyIncomplete } from './backed-up-files.ts';
import type { BackupContents } from '../qubes/backup-contents.ts';

/**
 * The same contents, with VMs that are incomplete in the backup listed as unusable. Only for a seekable
 * archive: in a stream, the reader only learns of each when it arrives. Throws DamagedError.
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
  const isReason = (path: string) => parseArchivedPath(path).kind === 'incomplete';
  for await (const archived of reader.files(isReason)) {
    for await (const file of backedUpFiles(archived)) {
      reasons.set(file.place.directory, await whyIncomplete(file));
    }
  }
  return reasons;
}
