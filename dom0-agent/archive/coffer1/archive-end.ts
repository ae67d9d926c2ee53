import type { ByteSource } from '../../../shared/byte-streams.ts';
import { DamagedError } from '../../../shared/errors.ts';
import { KiB, MiB } from '../../../shared/sizes.ts';
import { ByteReader } from '../../../shared/byte-reader.ts';
import { isZero } from '../../../shared/sparse-data.ts';
import { BLOCK, END_OF_TAR, paddingOf } from '../../../shared/tar-block.ts';
import { partName } from '../parts/part-name.ts';
import { parseSize, plainHeader } from '../tar/header-block.ts';
import { type BehindEnd, EXAMINED_AFTER_END, OuterTarReader } from '../tar/outer-reader.ts';
import { LARGEST_MANIFEST, MANIFEST_PATH } from './manifest.ts';
import { MOST_PARTS } from './parts-table.ts';
import { MAC_LENGTH } from './seal-member.ts';

/** The manifest is one part. */
const { name: MANIFEST_NAME } = partName(MANIFEST_PATH, 0);

/** What follows the manifest's bytes: its `.hmac` (a header and a block), the end of the tar. */
const BEHIND_MANIFEST = 2 * BLOCK + END_OF_TAR;
/** The end is searched in windows, moving backwards: most manifests are in the first, which FileEnd has in memory. */
const FIRST_WINDOW = 62 * KiB;
const LARGEST_WINDOW = 4 * MiB;
/** For every two members, the manifest has a line, which contains a MAC, or the table of parts has one. */
const MOST_MEMBERS = 2 * (LARGEST_MANIFEST / MAC_LENGTH + MOST_PARTS);

/** Where the member `manifest.000` begins, and how many bytes it holds. */
export interface ManifestPlace {
  readonly from: number;
  readonly size: number;
}

/**
 * Finds the manifest in an archive of `size` bytes. What is found is not trusted: the manifest's MAC is verified
 * afterwards. Throws DamagedError when there is none.
 */
export async function findManifest(input: ByteSource, size: number): Promise<ManifestPlace> {
  const place = (await searchEnd(input, size)) ?? (await walkToManifest(input, size));
  if (place !== undefined) return place;
  throw new DamagedError(
    'the backup is incomplete: there is no manifest at its end, so it was cut short or never finished',
  );
}

/**
 * Searches an archive that is not followed by anything: for the last manifest header whose size reaches exactly to the
 * end. Buffers one window at a time.
 */
async function searchEnd(input: ByteSource, size: number): Promise<ManifestPlace | undefined> {
  const end = size - BEHIND_MANIFEST;
  const farthest = Math.max(0, end - LARGEST_MANIFEST - BLOCK);
  let window = FIRST_WINDOW;
  for (let to = size % BLOCK === 0 ? end : 0; to > farthest; window *= 8) {
    const from = Math.max(farthest, to - Math.min(window, LARGEST_WINDOW));
    const untrustedWindow = await readRange(input, from, to);
    const offset = await lastManifestHeader(untrustedWindow, end - from);
    if (offset !== undefined) {
      const untrustedBlock = untrustedWindow.subarray(offset, offset + BLOCK);
      return { from: from + offset, size: parseSize(untrustedBlock) ?? 0 };
    }
    to = from;
  }
  return undefined;
}

/**
 * Goes from member to member, as something may follow the archive. Undefined when a member is damaged or missing, or
 * there are more than a manifest can list.
 */
async function walkToManifest(
  input: ByteSource,
  sizeOfAll: number,
): Promise<ManifestPlace | undefined> {
  await using tar = new OuterTarReader(input, { canonical: true });
  try {
    for (let count = 0; count <= MOST_MEMBERS; count++) {
      const member = await tar.next();
      if (member === undefined) return undefined;
      const { name, size, dataEnd } = member;
      if (name === MANIFEST_NAME && size <= LARGEST_MANIFEST && dataEnd <= sizeOfAll) {
        return { from: dataEnd - size - BLOCK, size };
      }
    }
  } catch (error) {
    if (!(error instanceof DamagedError)) throw error;
  }
  return undefined;
}

/** @param toEnd how many bytes there are from the beginning of the window to where the manifest would end */
async function lastManifestHeader(
  untrustedWindow: Buffer,
  toEnd: number,
): Promise<number | undefined> {
  const name = Buffer.from(`${MANIFEST_NAME}\0`);
  for (let offset = untrustedWindow.length - BLOCK; offset >= 0; offset -= BLOCK) {
    if (untrustedWindow.compare(name, 0, name.length, offset, offset + name.length) !== 0) continue;
    const block = untrustedWindow.subarray(offset, offset + BLOCK);
    if (await isHeaderFor(block, toEnd - offset - BLOCK)) return offset;
  }
  return undefined;
}

/** Whether this is the header of a manifest that fills the `room` bytes after it. */
async function isHeaderFor(untrustedBlock: Buffer, room: number): Promise<boolean> {
  const size = parseSize(untrustedBlock);
  if (size === undefined || size > LARGEST_MANIFEST) return false;
  if (size + paddingOf(size) !== room) return false;
  return (await plainHeader(MANIFEST_NAME, size)).equals(untrustedBlock);
}

async function readRange(input: ByteSource, from: number, to: number): Promise<Buffer> {
  // Copied to one buffer: the storage decides how many chunks this comes in, and each has a cost.
  await using bytes = new ByteReader(input.read(from, to));
  const range = Buffer.allocUnsafe(to - from);
  await bytes.fill(range);
  return range;
}

/**
 * Checks that the tar ends after the manifest. Throws DamagedError, which says how to extract the archive, if anything
 * but zeros follows that: no change to a file goes unnoticed.
 *
 * @param from where the members end
 */
export async function requireEnd(
  input: ByteSource & { readonly size: number },
  from: number,
): Promise<void> {
  const end = from + END_OF_TAR;
  await using bytes = new ByteReader(
    input.read(from, Math.min(input.size, end + EXAMINED_AFTER_END)),
  );
  if (!isZero(await bytes.exact(END_OF_TAR))) {
    throw new DamagedError('the backup continues after its manifest');
  }
  while (!(await bytes.ended())) {
    if (isZero(await bytes.atMost(MiB))) continue;
    refuseFollowed({ end, bytes: input.size - end, orMore: false });
  }
}

/**
 * Throws DamagedError, which says how to extract the archive, if anything but zeros follows it: no change to a file
 * goes unnoticed.
 */
export function refuseFollowed({ end, bytes, orMore }: BehindEnd): void {
  if (bytes === 0) return;
  const count = `${bytes} ${bytes === 1 ? 'byte' : 'bytes'}${orMore ? ' or more' : ''}`;
  throw new DamagedError(
    `the backup is complete, but followed by ${count} that do not belong to it: ` +
      `its first ${end} bytes are the backup, \`head -c ${end}\` copies them`,
  );
}
