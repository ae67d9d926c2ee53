import type { SeriesFile } from './series-file.ts';
import type { SeriesFiles } from './series-files.ts';
import { mapPath, parseMap } from './volume-map.ts';

/** The ids of the files some of whose parts are in packs in the directory. Reads no part. */
export async function heldByPacks(files: SeriesFiles): Promise<Set<string>> {
  const packs = await files.packs();
  return new Set(packs.flatMap(({ manifest }) => manifest.holds.map(({ backupId }) => backupId)));
}

/**
 * The paths of those volumes of a backup that need data first stored in the files with these ids. Reads their maps, but
 * no part. Throws DamagedError.
 */
export async function volumesIn(
  file: SeriesFile,
  backupIds: ReadonlySet<string>,
): Promise<string[]> {
  const { grain } = file.opened.header;
  const paths: string[] = [];
  for (const { path, volume } of file.manifest.files) {
    if (volume === undefined) continue;
    const { backups } = await parseMap(file.contentOf(mapPath(path)), path, grain);
    if (backups.some((backupId) => backupIds.has(backupId))) paths.push(path);
  }
  return paths;
}
