import { link, mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openFolderSystem } from '../../dom0-agent/qubes/folder/folder-system.ts';
import { BARE_STORE } from '../../dom0-agent/qubes/sandbox/sample-qubes.ts';
import { formatQubesXml } from '../../dom0-agent/qubes/xml/format-qubes-xml.ts';
import type { DataPiece } from '../../shared/sparse-data.ts';

/** The VM that backups are stored in, and their directory, relative to that of the system. */
export const STORAGE_VM = 'usb';
export const BACKUPS = `homes/${STORAGE_VM}/backups`;

const ORDINARY = { qubeClass: 'AppVM', template: 'debian', label: 'red', pool: undefined } as const;

/**
 * Makes a folder system with an empty template, a storage VM, and an AppVM for each of `images`, whose private
 * volume is that image (a hard link, not a copy).
 */
export async function makeSystem(
  directory: string,
  images: ReadonlyMap<string, string> = new Map(),
): Promise<void> {
  await mkdir(join(directory, 'dom0-home/user'), { recursive: true });
  await mkdir(join(directory, BACKUPS), { recursive: true });
  await writeFile(join(directory, 'qubes.xml'), formatQubesXml(BARE_STORE));
  const system = await openFolderSystem(directory);
  const template = { ...ORDINARY, qubeClass: 'TemplateVM', template: undefined } as const;
  await system.create({ ...template, name: 'debian' });
  await system.create({ ...ORDINARY, name: STORAGE_VM });
  const signal = new AbortController().signal;
  for (const [name, image] of images) {
    await system.create({ ...ORDINARY, name });
    await system.importVolume(name, 'private', (await stat(image)).size, nothing(), signal);
    const own = join(directory, 'appvms', name, 'private.img');
    await rm(own);
    await link(image, own);
  }
}

/** No data: the image is one hole. */
async function* nothing(): AsyncGenerator<DataPiece> {
  yield* await Promise.resolve([]);
}
