import type { OpenedDirectory } from '../../shared/byte-streams.ts';
import { ByteReader } from '../../shared/byte-reader.ts';
import { DamagedError } from '../../shared/errors.ts';
import { ChunkIds, ID_LENGTH } from '../archive/coffer1/chunk-ids.ts';
import { covers, bits, placesIn } from '../archive/coffer1/chunk-mask.ts';
import { IDS_PATH } from '../archive/coffer1/member-paths.ts';
import { type OpenedPart, openParts } from '../archive/coffer1/open-parts.ts';
import { type ChunkRun, formatPartText } from '../archive/coffer1/part-text.ts';
import { storedParts } from '../archive/coffer1/planned-parts.ts';
import type { MovingPart, TrimmedPart } from '../archive/coffer1/write-pack.ts';
import type { PackParts } from './plan-pack-files.ts';
import type { PrunedFile } from './plan-prune.ts';

type Planned = PackParts[number];

/**
 * The parts of a pack, as its writer needs them. Parts that are trimmed are read, and their chunks compared with their
 * ids: since they are sealed anew here, no later check would notice a difference from what was backed up. Throws
 * DamagedError.
 */
export async function* movingParts(
  parts: PackParts,
  directory: OpenedDirectory,
): AsyncGenerator<MovingPart | TrimmedPart, void, undefined> {
  const ids = new Map<PrunedFile, ReadonlyMap<number, Buffer>>();
  for (const file of new Set(parts.map((part) => part.file))) {
    const rows = parts.filter((part) => part.file === file).map(({ row }) => row);
    ids.set(file, await idsOf(file, new Set(rows)));
  }
  const trimmed = readParts(
    parts.filter(({ isTrimmed }) => isTrimmed),
    directory,
  );
  for (const part of parts) {
    const { file, row, bornIn, number, isTrimmed } = part;
    const { size, domain } = file.offsets.table.at(row);
    const partIds = ids.get(file)?.get(row) ?? Buffer.alloc(0);
    if (isTrimmed) {
      yield await trim(part, await nextOf(trimmed), partIds);
      continue;
    }
    yield {
      ...{ bornIn, number, size, domain, ids: partIds },
      ...{ fileName: file.stored.untrustedName, offset: file.offsets.offset(row) },
    };
  }
}

/** Reads and authenticates parts that are all compressed and encrypted in the same way. */
async function* readParts(
  parts: PackParts,
  directory: OpenedDirectory,
): AsyncGenerator<OpenedPart, void, undefined> {
  const [first] = parts;
  if (first === undefined) return;
  const located = parts.map(({ file, row }) => ({
    ...{ file: file.stored.file, parts: file.offsets, row },
  }));
  yield* openParts(
    storedParts(() => located, directory),
    first.file.stored.file.opened,
  );
}

async function nextOf(parts: AsyncIterator<OpenedPart, void>): Promise<OpenedPart> {
  const next = await parts.next();
  if (next.done === true) throw new RangeError('fewer parts than were asked for');
  return next.value;
}

async function trim(
  { file, row, bornIn, number, live }: Planned,
  part: OpenedPart,
  ids: Buffer,
): Promise<TrimmedPart> {
  if ('damage' in part) throw part.damage;
  const { mask, domain } = file.offsets.table.at(row);
  const key = file.stored.file.opened.key.root;
  const computed = new ChunkIds(key, domain);
  const numbers = part.text.runs.flatMap(numbersIn);
  const [chunks, keptIds, kept]: [Buffer[], Buffer[], number[]] = [[], [], []];
  const places = placesIn(mask).entries();
  for await (const chunk of part.chunks()) {
    const [at, place] = places.next().value ?? [0, 0];
    const id = ids.subarray(at * ID_LENGTH, (at + 1) * ID_LENGTH);
    if (!computed.idOf(chunk).equals(id)) {
      throw new DamagedError(
        `part ${number} of the file ${bornIn} has other chunks than its ids say`,
      );
    }
    if (!covers(live, bits(place, 1))) continue;
    chunks.push(chunk);
    keptIds.push(id);
    kept.push(numbers[at] ?? 0);
  }
  const text = formatPartText({ ...part.text, runs: runsOf(kept) });
  const content = Buffer.concat([text, ...chunks]);
  return { bornIn, number, domain, ids: Buffer.concat(keptIds), mask: live, content };
}

function numbersIn({ first, count }: ChunkRun): number[] {
  return Array.from({ length: count }, (_, i) => first + i);
}

/** Runs of consecutive numbers, from ascending numbers. */
function runsOf(numbers: readonly number[]): ChunkRun[] {
  const runs: { first: number; count: number }[] = [];
  for (const number of numbers) {
    const last = runs.at(-1);
    if (last !== undefined && last.first + last.count === number) last.count++;
    else runs.push({ first: number, count: 1 });
  }
  return runs;
}

/** The ids of the chunks of some rows of a file's table of parts, by row. */
async function idsOf(
  { stored, offsets: { table } }: PrunedFile,
  rows: ReadonlySet<number>,
): Promise<Map<number, Buffer>> {
  await using bytes = new ByteReader(stored.file.contentOf(IDS_PATH), 'the ids of a backup');
  const ids = new Map<number, Buffer>();
  for (let row = 0; ids.size < rows.size; row++) {
    const length = table.at(row).chunks * ID_LENGTH;
    if (rows.has(row)) ids.set(row, Buffer.from(await bytes.exact(length)));
    else await bytes.skip(length);
  }
  return ids;
}
