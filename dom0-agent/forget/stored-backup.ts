import { QUBES_XML, LARGEST_QUBES_XML } from '../archive/archive.ts';
import { wholeOf } from '../archive/coffer1/small-files.ts';
import type { FileOfSeries } from '../archive/coffer1/open-series-file.ts';
import { parseArchivedPath } from '../contents/archived-files.ts';
import { readContents } from '../contents/read-contents.ts';
import { printable } from '../../shared/printable.ts';
import type { DatedBackup } from './retention.ts';

/** A backup of the series, as the retention rules see it. */
export interface StoredBackup extends DatedBackup {
  readonly stored: FileOfSeries;
}

/**
 * The backups among the files of a series, with the VMs and the paths of dom0 that they contain. A VM that is incomplete
 * in a backup does not count: such a backup must not displace the last complete one. One that only this version cannot
 * restore does, as another version may. Throws DamagedError.
 */
export async function storedBackups(files: readonly FileOfSeries[]): Promise<StoredBackup[]> {
  const backups: StoredBackup[] = [];
  for (const stored of files) {
    const { file, untrustedName } = stored;
    if (file.opened.header.kind !== 'backup') continue;
    const { sequence, made } = file.manifest;
    backups.push({
      ...{ name: printable(untrustedName), sequence, made: new Date(made), stored },
      subjects: await subjectsOf(stored),
    });
  }
  return backups;
}

async function subjectsOf({ file }: FileOfSeries): Promise<string[]> {
  const xml = await wholeOf(file.contentOf(QUBES_XML), LARGEST_QUBES_XML, QUBES_XML);
  const { qubes, unusable, dom0Home, dom0Paths } = readContents(
    xml.toString('utf8'),
    file.opened.header,
  );
  const incomplete = new Set(
    file.manifest.files
      .map(({ path }) => parseArchivedPath(path))
      .filter(({ kind }) => kind === 'incomplete')
      .map(({ directory }) => directory),
  );
  const whole = qubes.filter(({ directory }) => !incomplete.has(directory));
  const others = unusable.filter(({ directory = '' }) => !incomplete.has(directory));
  return [
    ...whole.map(({ qube }) => qube.name),
    ...others.map(({ name }) => printable(name)),
    ...(dom0Home === undefined ? [] : ['dom0']),
    ...(dom0Paths?.paths ?? []).map((path) => `dom0:${printable(path)}`),
  ];
}
