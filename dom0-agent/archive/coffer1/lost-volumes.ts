import { SeriesFile } from './series-file.ts';
import type { SeriesFiles } from './series-files.ts';
import { mapPath, parseMap } from './volume-map.ts';

/**
 * The paths of the volumes of a backup that lie in part in files that are missing or damaged, and whose parts no pack
 * holds. Reads no part. Throws DamagedError.
 */
export async function lostVolumes(file: SeriesFile, files: SeriesFiles): Promise<string[]> {
  const lost = new Set<string>();
  for (const { backupId } of file.manifest.needs) {
    if ((await files.file(backupId)) instanceof SeriesFile) continue;
    const packs = await files.packs();
    const isHeld = packs.some(({ manifest }) =>
      manifest.holds.some((each) => each.backupId === backupId),
    );
    if (!isHeld) lost.add(backupId);
  }
  if (lost.size === 0) return [];
  const { grain } = file.opened.header;
  const paths: string[] = [];
  for (const { path, volume } of file.manifest.files) {
    if (volume === undefined) continue;
    const { backups } = await parseMap(file.contentOf(mapPath(path)), path, grain);
    if (backups.some((backupId) => lost.has(backupId))) paths.push(path);
  }
  return paths;
}
