import { noteBuffer } from '../../../shared/buffer-collection.ts';
import { ID_LENGTH } from './chunk-ids.ts';
import { covers } from './chunk-mask.ts';
import { MOST_CHUNKS } from './coffer1-header.ts';
import { KnownChunks } from './known-chunks.ts';
import { NeededChunks } from './needed-chunks.ts';
import type { PartsTable, PlacedPart } from './parts-table.ts';
import type { VolumeMap } from './volume-map.ts';

/** A file of the series whose parts a new backup may refer to. */
export interface EarlierFile {
  readonly backupId: string;
  readonly table: PartsTable;
  /** The ids of `count` chunks from number `first` on, in the order of the parts in the file. */
  ids(first: number, count: number): Promise<Buffer>;
}

/** The earlier files of the series, and what is known about volumes in them. */
export interface EarlierFiles {
  /** Those that exist, the newest first. */
  readonly files: readonly EarlierFile[];
  /** The map of a volume in its last backup, by the volume's `origin`; undefined if there is none. */
  lastMap(origin: string): Promise<VolumeMap | undefined>;
}

/** How many ids are requested at a time. */
const AT_ONCE = 2 ** 13;

/**
 * The chunks of a domain in earlier files, beginning with those that `lastMap` refers to. If there are more than a
 * volume can have, the oldest are left out, so that they are stored again.
 */
export async function knownChunks(
  files: readonly EarlierFile[],
  domain: string,
  lastMap: VolumeMap | undefined,
): Promise<KnownChunks> {
  const known = new KnownChunks();
  if (lastMap !== undefined) {
    const needed = new NeededChunks();
    needed.add(lastMap);
    const isNeeded = (bornIn: string, part: number): boolean => needed.of(bornIn, part) !== 0;
    for (const file of files) await addParts(known, file, domain, isNeeded);
  }
  for (const file of files) {
    await addParts(known, file, domain, () => known.size < MOST_CHUNKS);
  }
  return known;
}

/** Whether everything that a map refers to is in these files. */
export function holdAllOf(files: readonly EarlierFile[], map: VolumeMap): boolean {
  const needed = new NeededChunks();
  needed.add(map);
  for (const { bornIn, part, mask } of needed.parts()) {
    const isThere = files.some(({ backupId, table }) => {
      const row = table.rowOf(bornIn === backupId ? undefined : bornIn, part);
      return row !== undefined && covers(table.at(row).mask, mask);
    });
    if (!isThere) return false;
  }
  return true;
}

/** Adds the wanted parts of a file; the ids of adjacent ones are requested together. */
async function addParts(
  known: KnownChunks,
  file: EarlierFile,
  domain: string,
  isWanted: (bornIn: string, part: number) => boolean,
): Promise<void> {
  let adjacent = new AdjacentParts(file, 0);
  for (let row = 0, first = 0; row < file.table.length; row++) {
    const part = file.table.at(row);
    const bornIn = part.bornIn ?? file.backupId;
    const isNew = part.domain === domain && !known.hasPart(bornIn, part.number);
    if (isNew && isWanted(bornIn, part.number)) {
      adjacent.add(bornIn, part);
    } else {
      await adjacent.addTo(known);
      adjacent = new AdjacentParts(file, first + part.chunks);
    }
    first += part.chunks;
    if (adjacent.chunks < AT_ONCE) continue;
    await adjacent.addTo(known);
    adjacent = new AdjacentParts(file, first);
  }
  await adjacent.addTo(known);
}

/** Adjacent parts of a file. */
class AdjacentParts {
  chunks = 0;
  readonly #file: EarlierFile;
  readonly #first: number;
  readonly #parts: { bornIn: string; number: number; chunks: number; mask: number }[] = [];

  constructor(file: EarlierFile, first: number) {
    this.#file = file;
    this.#first = first;
  }

  add(bornIn: string, { number, chunks, mask }: PlacedPart): void {
    this.#parts.push({ bornIn, number, chunks, mask });
    this.chunks += chunks;
  }

  async addTo(known: KnownChunks): Promise<void> {
    if (this.#parts.length === 0) return;
    const ids = await this.#file.ids(this.#first, this.chunks);
    noteBuffer(ids.length);
    let at = 0;
    for (const { bornIn, number, chunks, mask } of this.#parts) {
      const end = at + chunks * ID_LENGTH;
      known.addPart(bornIn, number, ids.subarray(at, end), mask);
      at = end;
    }
  }
}
