import { DamagedError } from '../../../shared/errors.ts';
import { KiB, MiB } from '../../../shared/sizes.ts';
import type { ArchiveInput } from '../archive.ts';
import { BLOCK, encodeBlockHeader, paddingOf } from '../outer-tar/block.ts';
import { END_OF_TAR } from '../outer-tar/writer.ts';
import { partName } from '../parts.ts';
import { LARGEST_MANIFEST, MANIFEST_PATH } from './manifest.ts';

/** What stands behind the manifest's bytes: its `.hmac` (a header and a block), the end of the tar. */
const BEHIND_MANIFEST = 2 * BLOCK + END_OF_TAR.length;
/** The end is searched in windows, each farther from it: the first holds most manifests. */
const FIRST_WINDOW = 64 * KiB;
const LARGEST_WINDOW = 4 * MiB;

/**
 * Where the member `manifest.000` begins in an archive of `size` bytes: the nearest header before the
 * end that tells just the size which lies between. Nothing is trusted that is found: the manifest's
 * MAC is checked afterwards. Holds one window at a time. Throws DamagedError when there is none.
 */
export async function findManifest(input: ArchiveInput, size: number): Promise<number> {
  const end = size - BEHIND_MANIFEST;
  const farthest = Math.max(0, end - LARGEST_MANIFEST - BLOCK);
  let window = FIRST_WINDOW;
  for (let to = size % BLOCK === 0 ? end : 0; to > farthest; window *= 8) {
    const from = Math.max(farthest, to - Math.min(window, LARGEST_WINDOW));
    const untrustedWindow = await readRange(input, from, to);
    const offset = lastManifestHeader(untrustedWindow, end - from);
    if (offset !== undefined) return from + offset;
    to = from;
  }
  throw new DamagedError(
    'the backup is incomplete: there is no manifest at its end, so it was cut short or never finished',
  );
}

/** `toEnd`: the bytes from the beginning of the window to where the manifest ends. */
function lastManifestHeader(untrustedWindow: Buffer, toEnd: number): number | undefined {
  const name = Buffer.from(`${partName(MANIFEST_PATH, 0)}\0`);
  for (let offset = untrustedWindow.length - BLOCK; offset >= 0; offset -= BLOCK) {
    if (untrustedWindow.compare(name, 0, name.length, offset, offset + name.length) !== 0) continue;
    const block = untrustedWindow.subarray(offset, offset + BLOCK);
    if (tellsOf(block, toEnd - offset - BLOCK)) return offset;
  }
  return undefined;
}

/** Whether the header tells of a manifest that fills the `room` behind it. */
function tellsOf(untrustedBlock: Buffer, room: number): boolean {
  const size = parseInt(untrustedBlock.toString('latin1', 124, 135), 8);
  if (!Number.isSafeInteger(size) || size > LARGEST_MANIFEST) return false;
  return (
    size + paddingOf(size) === room &&
    encodeBlockHeader(partName(MANIFEST_PATH, 0), size).equals(untrustedBlock)
  );
}

async function readRange(input: ArchiveInput, from: number, to: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of input.read(from, to)) chunks.push(chunk);
  return Buffer.concat(chunks);
}
