import { execFileSync } from 'node:child_process';
import type { VolumeContent } from '../../dom0-agent/archive/content.ts';
import type { Extent } from '../../shared/sparse-data.ts';
import { WorkDirectory, noise } from '../archive/official-archives.ts';

const BLOCK = 4096;

/** The files in the file system of `makeImage`, by path. */
export const FILES_IN_IMAGE: Readonly<Record<string, Buffer>> = {
  'home/user/letter.txt': Buffer.from('This data has been successfully recovered!\n'),
  'home/user/photo.raw': noise(300_000, 'photo'),
};

/** A volume like a VM's: an ext4 file system of 4 MiB, with files and large holes. */
export function makeImage(files = FILES_IN_IMAGE): Buffer {
  using work = new WorkDirectory();
  for (const [name, content] of Object.entries(files)) work.write(`root/${name}`, content);
  // A user's PATH may lack the directories of the system's programs.
  const env = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` };
  const quietly = { cwd: work.path, env, stdio: 'ignore' } as const;
  execFileSync('mkfs.ext4', ['-q', '-d', 'root', 'image', '4M'], quietly);
  return work.take('image');
}

/** The image, with its holes, as a file to be archived. */
export function imageFile(path: string, image: Buffer): VolumeContent {
  const extents: Extent[] = [];
  for (let offset = 0; offset < image.length; offset += BLOCK) {
    if (image.subarray(offset, offset + BLOCK).some((byte) => byte !== 0)) {
      extents.push({ offset, length: BLOCK });
    }
  }
  const read = (buffer: Buffer, offset: number): Promise<void> => {
    image.copy(buffer, 0, offset);
    return Promise.resolve();
  };
  return { kind: 'volume', path, domain: path, origin: path, size: image.length, extents, read };
}
