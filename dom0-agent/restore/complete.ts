import { DamagedError } from '../../shared/errors.ts';
import { savedVolumes } from '../qubes/qube.ts';
import type { BackupContents } from './contents.ts';

/**
 * What qubes.xml promises and the archive does not hold, as paths: of every VM the volumes that belong in
 * a backup, of a VM without any at least one file (official tools write an empty one, `empty`), and
 * dom0's home. Formats 2 to 4 have no manifest: this is how a lost file is noticed.
 *
 * @param seen the paths of the archive's files; instead of a whole directory (`vm9/.`, the templates of
 *   formats 2 and 3), those of the files in it (`vm9/root.img`)
 */
export function missingFiles(
  { qubes, dom0Home }: Pick<BackupContents, 'qubes' | 'dom0Home'>,
  seen: ReadonlySet<string>,
): string[] {
  const directoriesSeen = new Set([...seen].map((path) => path.slice(0, path.lastIndexOf('/'))));
  const missing = qubes.flatMap(({ qube, directory }) => {
    const volumes = savedVolumes(qube).map(({ name }) => `${directory}/${name}.img`);
    if (volumes.length > 0) return volumes.filter((path) => !seen.has(path));
    return directoriesSeen.has(directory) ? [] : [directory];
  });
  if (dom0Home !== undefined && !seen.has(dom0Home.directory)) missing.push(dom0Home.directory);
  return missing;
}

/** Throws DamagedError when something that qubes.xml promises is not in the archive. */
export function refuseMissing(
  promised: Pick<BackupContents, 'qubes' | 'dom0Home'>,
  seen: ReadonlySet<string>,
): void {
  const missing = missingFiles(promised, seen);
  if (missing.length === 0) return;
  throw new DamagedError(`the backup is incomplete: it does not hold ${missing.join(', ')}`);
}
