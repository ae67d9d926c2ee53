import type { PartOf } from './plan-packs.ts';
import type { PrunedFile } from './plan-prune.ts';
import { GiB, MiB } from '../../shared/sizes.ts';

/** No pack is larger: it is read back as a whole before anything is deleted. */
const LARGEST_PACK = 16 * GiB;
/** What lies beside the parts in a pack: the table, the ids, the manifest. */
const BESIDE = MiB;

/** The parts of one new pack, those that were born in the same file together and ascending. */
export type PackParts = readonly PartOf<PrunedFile>[];

/**
 * Deals parts out to packs. In a pack, all are compressed and encrypted alike, for its header says how.
 *
 * @param largestFile that the storage takes, in bytes
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
    // The table takes some bytes for each part, too, and the ids 16 for each chunk.
    const taken = part.bytes + 1024;
    if (bytes + taken > limit) {
      packs.push([]);
      bytes = 0;
    }
    packs.at(-1)?.push(part);
    bytes += taken;
  }
  return packs;
}
