import { lengthInTar } from '../archive/coffer1/manifest.ts';
import type { PartOf } from './plan-packs.ts';
import type { PrunedFile } from './plan-prune.ts';
import { GiB, MiB } from '../../shared/sizes.ts';

/** The size limit of a pack, in bytes: the whole pack is read back before anything is deleted. */
const LARGEST_PACK = 16 * GiB;
/** Bytes for what is in a pack besides the parts: the table, the ids, the manifest. */
const BESIDE = MiB;

/** The parts of one new pack: those first stored in the same file are together, ascending by number. */
export type PackParts = readonly PartOf<PrunedFile>[];

/**
 * Distributes parts over packs. All parts of a pack are compressed and encrypted in the same way, since its header says
 * how.
 *
 * @param largestFile the largest file that the storage accepts, in bytes
 */
export function packFiles(
  parts: readonly PartOf<PrunedFile>[],
  largestFile = Infinity,
): PackParts[] {
  const limit = Math.min(LARGEST_PACK, largestFile) - BESIDE;
  const alike = new Map<string, PartOf<PrunedFile>[]>();
  for (const part of parts) {
    const { compressionFilter, encrypted, grain, partSize } = part.file.stored.file.opened.header;
    const kind = [compressionFilter, encrypted, grain, partSize].join(' ');
    const some = alike.get(kind) ?? [];
    some.push(part);
    alike.set(kind, some);
  }
  return [...alike.values()].flatMap((some) => cut(some.sort(byBirth), limit));
}

function byBirth(one: PartOf<PrunedFile>, other: PartOf<PrunedFile>): number {
  if (one.bornIn === other.bornIn) return one.number - other.number;
  return one.bornIn < other.bornIn ? -1 : 1;
}

function cut(parts: PackParts, limit: number): PackParts[] {
  const packs: PartOf<PrunedFile>[][] = [];
  let bytes = Infinity;
  for (const part of parts) {
    // Each part also needs some bytes in the table, and 16 for the id of each chunk.
    const taken = mostOf(part) + 1024;
    if (bytes + taken > limit) {
      packs.push([]);
      bytes = 0;
    }
    packs.at(-1)?.push(part);
    bytes += taken;
  }
  return packs;
}

/** How many bytes a part takes at most: what is left of a trimmed one may be all that did not compress. */
function mostOf({ file, row, isTrimmed, bytes }: PartOf<PrunedFile>): number {
  return isTrimmed ? lengthInTar(file.offsets.table.at(row).size) : bytes;
}
