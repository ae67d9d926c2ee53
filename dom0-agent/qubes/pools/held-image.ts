import type { Extent } from '../../../shared/sparse-data.ts';
import type { VolumeImage } from '../system.ts';
import { openImage } from './open-image.ts';
import type { OpenedVolume } from './pool-driver.ts';
import { openImageAsRoot } from './root-reader-client.ts';

/**
 * The content of a volume that its pool holds fast. Disposing of it closes it, and no more.
 *
 * @param label for messages: `the volume private of work`
 * @param readAsRoot see `openImageAsRoot`; undefined when coffer itself may read the volume
 * @param known where there is data, if the pool knows
 */
export async function openHeldImage(
  opened: OpenedVolume,
  label: string,
  readAsRoot: readonly string[] | undefined,
  signal: AbortSignal,
  known?: readonly Extent[],
): Promise<VolumeImage> {
  const image =
    readAsRoot === undefined
      ? await openImage(opened.path, label, signal, known)
      : await openImageAsRoot(readAsRoot, opened.path, label, signal, known);
  return {
    size: image.size,
    extents: image.extents,
    read: (buffer, offset) => image.read(buffer, offset),
    async requireUnchanged() {
      await opened.requireUnchanged();
      await image.requireUnchanged();
    },
    [Symbol.asyncDispose]: () => image[Symbol.asyncDispose](),
  };
}
