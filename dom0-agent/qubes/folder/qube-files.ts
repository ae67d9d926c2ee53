import { mkdir, open, readFile, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

import { FailedError, messageOf, RefusedError, systemCodeOf } from '../../../shared/errors.ts';
import { type Qube, savedVolumes, type Volume } from '../qube.ts';
import type { FolderLayout } from './folder-layout.ts';
import { replaceFile, syncDirectory } from '../replace-file.ts';

/** Bytes in a block as `stat` counts them, whatever the file system's block size. */
const BLOCK = 512;

/**
 * Creates the directory of a new VM, with an empty sparse image for each volume that it saves.
 * Throws RefusedError when the directory already exists, which is then left untouched.
 */
export async function makeQubeFiles(layout: FolderLayout, qube: Qube): Promise<void> {
  const directory = layout.directoryOf(qube);
  await mkdir(dirname(directory), { recursive: true });
  try {
    await mkdir(directory);
  } catch (error) {
    if (systemCodeOf(error) === 'EEXIST') {
      throw new RefusedError(
        `${qube.name} cannot be created, as ${directory} is left from an earlier VM: ` +
          'check whether it contains anything of value, and remove it',
      );
    }
    throw cannotMake(qube, error);
  }
  try {
    for (const volume of savedVolumes(qube)) await makeImage(layout.imageOf(qube, volume), volume);
    await syncDirectory(directory);
  } catch (error) {
    await removeQubeFiles(layout, qube);
    throw cannotMake(qube, error);
  }
}

/** Removes everything that `makeQubeFiles` created, and what was put there since. */
export async function removeQubeFiles(layout: FolderLayout, qube: Qube): Promise<void> {
  await rm(layout.directoryOf(qube), { recursive: true, force: true });
}

/** The VM with the size and usage of its images. */
export async function withSizes<T extends Qube>(layout: FolderLayout, qube: T): Promise<T> {
  const volumes = await Promise.all(
    qube.volumes.map(async (volume) => {
      if (!volume.saveOnStop) return volume;
      try {
        const { size, blocks } = await stat(layout.imageOf(qube, volume));
        return { ...volume, size, usage: blocks * BLOCK };
      } catch (error) {
        // Reported when the volume is opened: a missing image must not make the list of VMs fail.
        if (systemCodeOf(error) === 'ENOENT') return volume;
        throw error;
      }
    }),
  );
  return { ...qube, volumes };
}

/** The text of a VM's firewall.xml or notes.txt; undefined if it has none. Throws FailedError. */
export async function readQubeText(path: string, label: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined;
    throw new FailedError(`${label} cannot be read: ${messageOf(error)}`);
  }
}

/** Replaces a VM's firewall.xml or notes.txt, all or nothing. Throws FailedError. */
export async function writeQubeText(path: string, label: string, text: string): Promise<void> {
  try {
    await replaceFile(path, (file) => file.writeFile(text));
  } catch (error) {
    throw new FailedError(`${label} cannot be written: ${messageOf(error)}`);
  }
}

async function makeImage(path: string, { size }: Volume): Promise<void> {
  const image = await open(path, 'wx');
  try {
    await image.truncate(size);
    await image.sync();
  } finally {
    await image.close();
  }
}

function cannotMake({ name }: Qube, error: unknown): FailedError {
  return new FailedError(`the images of ${name} cannot be made: ${messageOf(error)}`);
}
