import { countBits, covers } from '../archive/coffer1/chunk-mask.ts';
import { lengthInTar } from '../archive/coffer1/manifest.ts';
import type { PlacedPart } from '../archive/coffer1/parts-table.ts';
import { DamagedError } from '../../shared/errors.ts';
import type { NeededChunks } from '../archive/coffer1/needed-chunks.ts';

/**
 * If less than this share of a file's bytes is needed, the needed parts move into a pack. Bytes that moving would not
 * free are counted as needed.
 */
export const LEAST_LIVE = 0.85;

/** A part that moves is read and trimmed if less than this share of its chunks is needed. */
export const LEAST_LIVE_OF_PART = 0.75;

/** A file of the series, with its parts. */
export interface PartsFile {
  readonly backupId: string;
  /**
   * A backup that is kept stays, however little of it is needed. One that is forgotten goes: it could no longer be
   * restored completely. For other files (`open`), it depends on how much of them is needed.
   */
  readonly fate: 'stays' | 'goes' | 'open';
  readonly parts: Iterable<PlacedPart>;
}

/** A part of a file, by its row in that file's table. */
export interface PartOf<F extends PartsFile> {
  readonly file: F;
  readonly row: number;
  /** The id of the file that it was first stored in. */
  readonly bornIn: string;
  /** Its number in that file. */
  readonly number: number;
  /** Which of its original chunks are needed, as a bit mask. */
  readonly live: number;
  /** Whether chunks that are not needed are left out when it moves. */
  readonly isTrimmed: boolean;
  /** The bytes that it will take in the tar of a pack; an estimate if it is trimmed. */
  readonly bytes: number;
}

/** What will happen to the files of a series. */
export interface PackPlan<F extends PartsFile> {
  /** Files to delete, once the packs are stored and everything that replaces them has been read back. */
  readonly going: readonly F[];
  /** Parts that move into packs: the needed parts of files that go, unless they are also in a file that stays. */
  readonly packed: readonly PartOf<F>[];
  /**
   * Needed parts of files that stay, which are also in a file that goes: like the packs, these must be authenticated
   * before the other copy is deleted.
   */
  readonly replacing: readonly PartOf<F>[];
}

/**
 * Decides which files go and which of their parts move, so that all chunks that are needed stay, and little else.
 *
 * @param live the chunks that the maps of kept backups refer to
 * @throws DamagedError when a part that is needed is in none of the files
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
  /** The needed parts of each file; a part that is in several files is only listed for one of them. */
  readonly taken: ReadonlyMap<F, readonly PartOf<F>[]>;
  /** For each file, its other needed parts, as they are in the files that they are listed for. */
  readonly shadowed: ReadonlyMap<F, readonly PartOf<F>[]>;
}

/**
 * Assigns each needed part to one file. A part may be in several files, since an interrupted prune leaves both the
 * packs and the files that they were to replace: it is assigned to a file that stays, or else to the one of which the
 * largest share is needed. Throws DamagedError when a needed part is missing.
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

/** How much of a file's parts is needed, in bytes: from 0 to 1. */
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
    // A part that was trimmed may lack chunks that are needed now.
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
