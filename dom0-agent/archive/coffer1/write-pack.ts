import { KiB } from '../../../shared/sizes.ts';
import { partName } from '../parts/part-name.ts';
import { ID_LENGTH } from './chunk-ids.ts';
import type { Coffer1Filter, Cut } from './coffer1-header.ts';
import { formatHeader } from './coffer1-header.ts';
import { cutText } from './cut-text.ts';
import { type FrameCompressor, frameCompressor } from './frame-compressor.ts';
import {
  MANIFEST_PATH,
  type Manifest,
  type NamedFile,
  type PartsBornIn,
  formatManifest,
  lengthInTar,
} from './manifest.ts';
import { IDS_PATH, movedPath, trimmedPath } from './member-paths.ts';
import { type CopyingSink, type MemberPlace, MemberWriter } from './member-writer.ts';
import { PartsTable } from './parts-table.ts';
import { PARTS_PATH, formatPartsTable } from './parts-table-text.ts';
import type { NextFile } from './series.ts';

/** A part that goes into a pack. */
interface PackedPart {
  /** The file that it was born in, and its number there. */
  readonly bornIn: string;
  readonly number: number;
  readonly domain: string;
  /** Of its chunks, 16 bytes each. */
  readonly ids: Buffer;
}

/** As it is, under the keys that it has. */
export interface MovingPart extends PackedPart, MemberPlace {
  /** Bytes as stored. */
  readonly size: number;
}

/** With some of its chunks only, sealed anew. */
export interface TrimmedPart extends PackedPart {
  /** Which of the chunks that it was born with, as bits. */
  readonly mask: number;
  /** Its text, and these chunks. */
  readonly content: Buffer;
}

/** What a pack shares with the files that its parts come from, and its place in the series. */
export interface PackOptions extends Omit<NextFile, 'earlier'> {
  readonly encrypted: boolean;
  readonly compressionFilter: Coffer1Filter | undefined;
  readonly cut: Cut;
  /** When it is made. */
  readonly created: Date;
}

/** A pack as the next file of its series needs to know it. */
export interface WrittenPack {
  readonly name: NamedFile;
  readonly table: PartsTable;
  /** The ids of all chunks, in the order of the parts. */
  readonly ids: readonly Buffer[];
}

/**
 * Writes a pack: parts of other files of the series, byte for byte under the keys of their birth, or trimmed, and what tells
 * where they lie. The former are copied in the storage; whoever deletes the others authenticates them first.
 *
 * @param parts those that were born in the same file one behind the other, with ascending numbers
 */
export async function writePack(
  parts: AsyncIterable<MovingPart | TrimmedPart>,
  output: CopyingSink,
  options: PackOptions,
  signal: AbortSignal,
): Promise<WrittenPack> {
  const { series, backupId, encrypted, compressionFilter, cut } = options;
  await using compressor =
    compressionFilter === undefined ? undefined : frameCompressor(compressionFilter, 1, signal);
  const writer = new MemberWriter(output, { root: series.key, backupId, encrypted });
  const head = await series.head;
  await writer.header(
    formatHeader({
      ...{ format: 'coffer-1', kind: 'pack', backupId, streamable: false },
      ...{ encrypted, compressionFilter, ...cut, ...head },
    }),
  );
  const table = new PartsTable();
  const ids: Buffer[] = [];
  let partsLength = 0;
  for await (const part of parts) {
    signal.throwIfAborted();
    const { bornIn, number, domain } = part;
    const size = await storePart(writer, part, compressor);
    const chunks = part.ids.length / ID_LENGTH;
    const mask = 'content' in part ? part.mask : undefined;
    table.addMoved(bornIn, number, { size, chunks, domain }, mask);
    ids.push(part.ids);
    partsLength += lengthInTar(size);
  }
  await writeText(writer, PARTS_PATH, formatPartsTable(table), cut, compressor);
  await writeText(writer, IDS_PATH, ids, cut, compressor);
  const manifest = manifestOf(options, writer, table, partsLength);
  const mac = await writer.member(
    partName(MANIFEST_PATH, 0).name,
    await compressed(formatManifest(manifest), compressor),
  );
  await writer.end();
  return { name: { backupId, mac }, table, ids };
}

/** Gives its bytes as stored. */
async function storePart(
  writer: MemberWriter,
  part: MovingPart | TrimmedPart,
  compressor: FrameCompressor | undefined,
): Promise<number> {
  const { bornIn, number } = part;
  if (!('content' in part)) {
    await writer.copy(partName(movedPath(bornIn), number).name, part.size, part);
    return part.size;
  }
  const frame = await compressed(part.content, compressor);
  await writer.part(partName(trimmedPath(bornIn), number).name, frame);
  return frame.length;
}

async function writeText(
  writer: MemberWriter,
  path: string,
  pieces: Iterable<Buffer>,
  { partSize }: Cut,
  compressor: FrameCompressor | undefined,
): Promise<void> {
  let index = 0;
  for (const bytes of cutText(pieces, partSize)) {
    await writer.member(partName(path, index++).name, await compressed(bytes, compressor));
  }
}

async function compressed(bytes: Buffer, by: FrameCompressor | undefined): Promise<Buffer> {
  if (by === undefined) return bytes;
  // As `mostStored`: what a compressor adds where it finds nothing to compress.
  return by.compress(
    bytes,
    Buffer.allocUnsafe(bytes.length + Math.ceil(bytes.length / 128) + 4 * KiB),
  );
}

/** The header comes before the parts, all else behind them. */
function manifestOf(
  { series, sequence, previous, created }: PackOptions,
  { members }: MemberWriter,
  table: PartsTable,
  partsLength: number,
): Manifest {
  return {
    ...{ seriesId: series.seriesId, sequence, previous, needs: [], holds: holdsOf(table) },
    made: `${created.toISOString().slice(0, 19)}Z`,
    ...{ members, parts: table.length, partsBefore: 1, partsLength, files: [] },
  };
}

function holdsOf(table: PartsTable): PartsBornIn[] {
  return table.moved
    .map(({ backupId, from, to }) => ({ backupId, parts: to - from }))
    .sort((one, other) => (one.backupId < other.backupId ? -1 : 1));
}
