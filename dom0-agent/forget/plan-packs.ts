import { countBits, covers } from '../archive/coffer1/chunk-mask.ts';
import { lengthInTar } from '../archive/coffer1/manifest.ts';
import type { PlacedPart } from '../archive/coffer1/parts-table.ts';
import { DamagedError } from '../../shared/errors.ts';
import type { NeededChunks } from '../archive/coffer1/needed-chunks.ts';

/**
 * Where less than this share of a file's bytes is needed, what is needed moves into a pack. What cannot be freed by moving is
 * not counted.
 */
export const LEAST_LIVE = 0.85;

/** A part that moves is trimmed when less than this share of its chunks is needed: it must be read for that. */
export const LEAST_LIVE_OF_PART = 0.75;

/** A file of the series, as far as it matters here what lies in it. */
export interface PartsFile {
  readonly backupId: string;
  /**
   * A backup that is kept stays whatever is live of it; one that is forgotten goes, since it would be there and not be
   * whole. Of other files it depends on what is live of them.
   */
  readonly fate: 'stays' | 'goes' | 'open';
  readonly parts: Iterable<PlacedPart>;
}

/** A part of a file, by its row in that file's table. */
export interface PartOf<F extends PartsFile> {
  readonly file: F;
  readonly row: number;
  /** The file that it was born in, and its number there. */
  readonly bornIn: string;
  readonly number: number;
  /** Which of the chunks that it was born with are needed, as bits. */
  readonly live: number;
  /** Whether the others are left out when it moves. */
  readonly isTrimmed: boolean;
  /** The bytes in the tar that it takes where it moves; of a part that is trimmed, about. */
  readonly bytes: number;
}

/** What becomes of the files of a series. */
export interface PackPlan<F extends PartsFile> {
  /** Files that go, once the packs are stored and what replaces them was read back. */
  readonly going: readonly F[];
  /** Parts that move into packs: all that is live of the files that go and lies nowhere else. */
  readonly packed: readonly PartOf<F>[];
  /**
   * Parts of files that stay, which also lie in a file that goes: as with the packs, these must be authenticated
   * before the others are deleted.
   */
  readonly replacing: readonly PartOf<F>[];
}

/**
 * Which files go and which parts of them move, so that all that is live stays and little else.
 *
 * @param live what the maps of the backups that are kept refer to
 * @throws DamagedError when a part that is live is in none of the files
 */
export function planPacks<F extends PartsFile>(
  files: readonly F[],
  live: NeededChunks,
): PackPlan<F> {
  const { taken, shadowed } = takeParts(files, live);
  const isGoing = (file: F): boolean => {
    const parts = taken.get(file) ?? [];
    const isHollow = parts.length === 0 || shareOf(parts, file) < LEAST_LIVE;
    return file.fate === 'goes' || (file.fate === 'open' && isHollow);
  };
  const going = files.filter(isGoing);
  const staying = new Set(files.filter((file) => !going.includes(file)));
  const replacing = new Set(going.flatMap((file) => shadowed.get(file) ?? []));
  return {
    going,
    packed: going.flatMap((file) => taken.get(file) ?? []),
    replacing: [...replacing].filter(({ file }) => staying.has(file)),
  };
}

interface TakenParts<F extends PartsFile> {
  /** Of each file the parts that are live, each part in one file only. */
  readonly taken: ReadonlyMap<F, readonly PartOf<F>[]>;
  /** Of each file where those of its live parts are taken that it holds in vain. */
  readonly shadowed: ReadonlyMap<F, readonly PartOf<F>[]>;
}

/**
 * Throws DamagedError when a live part is missing. A part may lie in several files, since a prune that was broken off leaves packs and what they were to replace. It is
 * taken in a file that stays, or in that of which the most is live.
 */
function takeParts<F extends PartsFile>(files: readonly F[], live: NeededChunks): TakenParts<F> {
  const liveParts = new Map(files.map((file) => [file, livePartsOf(file, live)]));
  const rank = (file: F): number => {
    if (file.fate === 'open') return shareOf(liveParts.get(file) ?? [], file);
    return file.fate === 'stays' ? Infinity : -Infinity;
  };
  const known = new Map<string, Map<number, PartOf<F>>>();
  const taken = new Map<F, PartOf<F>[]>();
  const shadowed = new Map<F, PartOf<F>[]>();
  for (const file of [...files].sort((one, other) => compare(rank(other), rank(one)))) {
    const [own, foreign]: [PartOf<F>[], PartOf<F>[]] = [[], []];
    for (const part of liveParts.get(file) ?? []) {
      const ofBirth = known.get(part.bornIn) ?? new Map<number, PartOf<F>>();
      known.set(part.bornIn, ofBirth);
      const other = ofBirth.get(part.number);
      if (other === undefined) ofBirth.set(part.number, part);
      if (other === undefined) own.push(part);
      else foreign.push(other);
    }
    taken.set(file, own);
    shadowed.set(file, foreign);
  }
  for (const { bornIn, part } of live.parts()) {
    if (known.get(bornIn)?.has(part) === true) continue;
    throw new DamagedError(
      `a backup that is to be kept needs part ${part} of the file ${bornIn}, which is missing: ` +
        'coffer verify shows which VMs are damaged',
    );
  }
  return { taken, shadowed };
}

/** How much of the parts in a file is needed, from 0 to 1. */
export function liveShare(file: PartsFile, live: NeededChunks): number {
  return shareOf(livePartsOf(file, live), file);
}

function shareOf(parts: readonly PartOf<PartsFile>[], { parts: all }: PartsFile): number {
  let total = 0;
  for (const { size } of all) total += lengthInTar(size);
  return total === 0 ? 0 : sumOf(parts) / total;
}

function livePartsOf<F extends PartsFile>(file: F, live: NeededChunks): PartOf<F>[] {
  const parts: PartOf<F>[] = [];
  let row = 0;
  for (const part of file.parts) {
    const { bornIn = file.backupId, number, mask } = part;
    const needed = live.of(bornIn, number);
    // One that was trimmed when less was needed does not serve.
    if (needed !== 0 && covers(mask, needed)) {
      parts.push({ file, row, bornIn, number, live: needed, ...trimmed(part, needed) });
    }
    row++;
  }
  return parts;
}

function trimmed(
  { size, chunks }: PlacedPart,
  live: number,
): Pick<PartOf<PartsFile>, 'isTrimmed' | 'bytes'> {
  const share = countBits(live) / chunks;
  const isTrimmed = share < LEAST_LIVE_OF_PART;
  return { isTrimmed, bytes: lengthInTar(isTrimmed ? Math.ceil(size * share) : size) };
}

function compare(one: number, other: number): number {
  return one === other ? 0 : one - other;
}

function sumOf(parts: readonly PartOf<PartsFile>[]): number {
  return parts.reduce((sum, { bytes }) => sum + bytes, 0);
}
