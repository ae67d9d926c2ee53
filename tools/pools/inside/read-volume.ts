import { openImage } from '../../../dom0-agent/qubes/pools/open-image.ts';
import type { PlacedVolume, VolumeDriver } from '../../../dom0-agent/qubes/pools/pool-driver.ts';

const never = new AbortController().signal;

/** The content of a volume, as opened by its driver. */
export async function readVolume(driver: VolumeDriver, placed: PlacedVolume): Promise<Buffer> {
  await using opened = await driver.open(placed);
  return await readOpened(opened.path, placed);
}

/** The content of a volume that was opened at `path`. */
export async function readOpened(path: string, placed: PlacedVolume): Promise<Buffer> {
  await using image = await openImage(path, placed.label, never);
  const content = Buffer.alloc(image.size);
  for (const { offset, length } of image.extents) {
    await image.read(content.subarray(offset, offset + length), offset);
  }
  return content;
}
