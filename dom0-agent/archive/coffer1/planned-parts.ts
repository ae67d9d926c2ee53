import type { FileRange, OpenedDirectory, OpenedFile } from '../../../shared/byte-streams.ts';
import { DamagedError } from '../../../shared/errors.ts';
import { partName } from '../parts/part-name.ts';
import { prefetch } from '../parts/prefetch.ts';
import { countBits, hasBit, placesIn } from './chunk-mask.ts';
import type { LocatedPart } from './located-parts.ts';
import { lengthInTar } from './manifest.ts';
import { DATA_PATH, movedPath, trimmedPath } from './member-paths.ts';
import { KnownMembers } from './known-members.ts';
import type { StoredMember } from './member-reader.ts';
import { type OpenedPart, openParts } from './open-parts.ts';
import { chunksOf } from './part-text.ts';
import type { SeriesFiles } from './series-files.ts';

/** A part of which some chunks are wanted. */
export interface WantedPart extends LocatedPart {
  /** Which of its original chunks, as bits. */
  readonly wanted: number;
  /** Which of these will be kept. */
  readonly kept: number;
}

/** The longest range that is requested, in bytes: adjacent parts are read as one range. */
const LONGEST_RANGE = 256 * 1024 * 1024;

/**
 * The wanted chunks of parts in any files of a series, in the order of `parts`: for each part an array with each wanted
 * chunk at its original position. Those that are kept have their own memory; the others are valid until the next part is
 * asked for. Parts are read, authenticated and decompressed ahead. Throws DamagedError in the turn of a damaged part.
 *
 * @param parts must yield the same parts each time that it is called
 */
export async function* chunksOfParts(
  parts: () => Iterable<WantedPart>,
  files: SeriesFiles,
): AsyncGenerator<Buffer[], void, undefined> {
  for (const group of groupsByFilter(parts)) yield* prefetch(chunksOfGroup(group, files));
}

/** Groups consecutive parts with the same compression, which one program can decompress. */
function* groupsByFilter(
  parts: () => Iterable<WantedPart>,
): Generator<() => Iterable<WantedPart>, void, undefined> {
  let [from, count] = [0, 0];
  let filter: string | undefined;
  for (const { file } of parts()) {
    const next = file.opened.header.compressionFilter;
    if (count > 0 && next !== filter) {
      yield slice(parts, from, count);
      [from, count] = [from + count, 0];
    }
    [filter, count] = [next, count + 1];
  }
  if (count > 0) yield slice(parts, from, count);
}

function slice(parts: () => Iterable<WantedPart>, from: number, count: number) {
  return function* (): Generator<WantedPart, void, undefined> {
    let at = 0;
    for (const part of parts()) {
      if (at >= from) yield part;
      if (++at === from + count) return;
    }
  };
}

async function* chunksOfGroup(
  parts: () => Iterable<WantedPart>,
  files: SeriesFiles,
): AsyncGenerator<Buffer[], void, undefined> {
  const [first] = parts();
  if (first === undefined) return;
  const expected = parts()[Symbol.iterator]();
  const { header } = first.file.opened;
  // What comes out of a program is copied in any case.
  const rooms = header.compressionFilter === undefined ? undefined : new Rooms(header.grain);
  for await (const part of openParts(storedParts(parts, files), first.file.opened)) {
    const next = expected.next();
    if (next.done === true) throw new RangeError('more parts than were asked for');
    yield await chunksIn(part, next.value, files, rooms);
  }
}

async function chunksIn(
  part: OpenedPart,
  { file, parts, row, wanted, kept }: WantedPart,
  files: SeriesFiles,
  rooms: Rooms | undefined,
): Promise<Buffer[]> {
  if ('damage' in part) throw inFile(part.damage, files.nameOf(file.backupId));
  if (chunksOf(part.text) !== parts.table.at(row).chunks) {
    throw new DamagedError(`part ${part.number} of the volumes does not match its table`);
  }
  const places = placesIn(parts.table.at(row).mask);
  const isWanted = (number: number): boolean => hasBit(wanted, places[number] ?? 0);
  const wantedPlaces = places.filter((_, number) => isWanted(number)).values();
  const room = rooms?.next(wanted & ~kept);
  const placeFor = (number: number): Buffer | undefined => {
    const { grain } = file.opened.header;
    return hasBit(kept, places[number] ?? 0) ? Buffer.allocUnsafeSlow(grain) : room?.();
  };
  const chunks: Buffer[] = [];
  for await (const chunk of part.chunks(isWanted, placeFor)) {
    chunks[wantedPlaces.next().value ?? 0] = chunk;
  }
  return chunks;
}

/**
 * The memory for the chunks of a part that is used and of the next one, which is prefetched: new memory for each would
 * be collected late, since it is in use for longer than a minor collection takes to come.
 */
class Rooms {
  readonly #grain: number;
  #present = Buffer.alloc(0);
  #next = Buffer.alloc(0);

  constructor(grain: number) {
    this.#grain = grain;
  }

  /** A function that returns places for these chunks of a part, as bits. The memory before the last is used again. */
  next(chunks: number): () => Buffer {
    const length = countBits(chunks) * this.#grain;
    const free = this.#present.length < length ? Buffer.allocUnsafeSlow(length) : this.#present;
    [this.#present, this.#next] = [this.#next, free];
    let used = 0;
    return () => free.subarray(used, (used += this.#grain));
  }
}

/** Names the file in the error, unless it is the backup's own. */
function inFile(damage: DamagedError, name: string | undefined): DamagedError {
  if (name === undefined) return damage;
  return new DamagedError(`${name}: ${damage.message}`, { cause: damage });
}

/**
 * The parts as they are stored, in any files, one after the other: each must be the expected one. Throws DamagedError.
 *
 * @param parts must yield the same parts each time that it is called
 */
export async function* storedParts(
  parts: () => Iterable<LocatedPart>,
  files: Pick<OpenedDirectory, 'read'>,
): AsyncGenerator<StoredMember, void, undefined> {
  const [first] = parts();
  if (first === undefined) return;
  const { header, signal } = first.file.opened;
  let { partSize } = header;
  for (const { file } of parts()) partSize = Math.max(partSize, file.opened.header.partSize);
  const bytes = files.read(rangesOf(parts()));
  await using stored = new KnownMembers(bytes, { ...header, partSize }, signal);
  for (const part of parts()) yield await takePart(stored, part);
  await stored.end();
}

async function takePart(
  stored: KnownMembers,
  { file, parts, row }: LocatedPart,
): Promise<StoredMember> {
  const { bornIn, number, size, isTrimmed } = parts.table.at(row);
  const member = await stored.take({ part: partName(pathOf(bornIn, isTrimmed), number), size });
  const { key } = file.opened;
  if (isTrimmed) return { ...member, sealedWith: key };
  // A part keeps the keys of the file in which it was first stored.
  return {
    ...member,
    name: partName(DATA_PATH, number).name,
    sealedWith: { ...key, backupId: bornIn ?? key.backupId },
  };
}

function pathOf(bornIn: string | undefined, isTrimmed: boolean): string {
  if (bornIn === undefined) return DATA_PATH;
  return isTrimmed ? trimmedPath(bornIn) : movedPath(bornIn);
}

/** The ranges of parts in their files; adjacent parts become one range. */
function* rangesOf(parts: Iterable<LocatedPart>): Generator<FileRange, void, undefined> {
  let range: { file: OpenedFile; from: number; to: number } | undefined;
  for (const part of parts) {
    const file = part.file.input;
    const from = part.parts.offset(part.row);
    const to = from + lengthOf(part);
    if (range?.file === file && range.to === from && to - range.from <= LONGEST_RANGE) {
      range.to = to;
      continue;
    }
    if (range !== undefined) yield range;
    range = { file, from, to };
  }
  if (range !== undefined) yield range;
}

function lengthOf({ parts, row }: LocatedPart): number {
  return lengthInTar(parts.table.at(row).size);
}
