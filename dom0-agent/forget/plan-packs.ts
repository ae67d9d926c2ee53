import { lengthInTar } from '../archive/coffer1/manifest.ts';
import type { PlacedPart } from '../archive/coffer1/parts-table.ts';
import { DamagedError } from '../../shared/errors.ts';
import { type LiveChunks, countBits } from './live-chunks.ts';

/** A file less of which is live is not kept: what is live of it moves into a pack. */
const LEAST_LIVE = 0.7;

/** A file of the series, as far as it matters here what lies in it. */
export interface PartsFile {
  readonly backupId: string;
  /** In bytes. */
  readonly size: number;
  /** Whether it stays whatever its parts are: it is a backup that is kept, or younger than any. */
  readonly stays: boolean;
  readonly parts: Iterable<PlacedPart>;
}

/** A part of a file, by its row in that file's table. */
export interface PartOf<F extends PartsFile> {
  readonly file: F;
  readonly row: number;
  /** The file that it was born in, and its number there. */
  readonly bornIn: string;
  readonly number: number;
  /** Its bytes in the tar, and how much of them is in chunks that are referred to. */
  readonly bytes: number;
  readonly liveBytes: number;
  /** Those chunks, as 32 bits. */
  readonly liveChunks: number;
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
export function planPacks<F extends PartsFile>(files: readonly F[], live: LiveChunks): PackPlan<F> {
  const { taken, shadowed } = takeParts(files, live);
  const isGoing = (file: F): boolean => {
    const liveBytes = sumOf(taken.get(file) ?? []);
    return !file.stays && (liveBytes === 0 || liveBytes < LEAST_LIVE * file.size);
  };
  const going = files.filter(isGoing);
  const stays = new Set(files.filter((file) => !going.includes(file)));
  const replacing = new Set(going.flatMap((file) => shadowed.get(file) ?? []));
  return {
    going,
    packed: going.flatMap((file) => taken.get(file) ?? []),
    replacing: [...replacing].filter(({ file }) => stays.has(file)),
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
function takeParts<F extends PartsFile>(files: readonly F[], live: LiveChunks): TakenParts<F> {
  const liveParts = new Map(files.map((file) => [file, livePartsOf(file, live)]));
  const rank = (file: F): number => (file.stays ? 2 : sumOf(liveParts.get(file) ?? []) / file.size);
  const known = new Map<string, Map<number, PartOf<F>>>();
  const taken = new Map<F, PartOf<F>[]>();
  const shadowed = new Map<F, PartOf<F>[]>();
  for (const file of [...files].sort((one, other) => rank(other) - rank(one))) {
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
      `a backup that is to be kept needs part ${part} of the file ${bornIn}, which is nowhere: ` +
        'coffer verify tells which VMs are damaged',
    );
  }
  return { taken, shadowed };
}

function livePartsOf<F extends PartsFile>(file: F, live: LiveChunks): PartOf<F>[] {
  const parts: PartOf<F>[] = [];
  let row = 0;
  for (const { bornIn = file.backupId, number, size, chunks } of file.parts) {
    const liveChunks = live.of(bornIn, number);
    const bytes = lengthInTar(size);
    const liveBytes = (bytes * countBits(liveChunks)) / chunks;
    if (liveChunks !== 0) parts.push({ file, row, bornIn, number, bytes, liveBytes, liveChunks });
    row++;
  }
  return parts;
}

function sumOf(parts: readonly PartOf<PartsFile>[]): number {
  return parts.reduce((sum, { liveBytes }) => sum + liveBytes, 0);
}
