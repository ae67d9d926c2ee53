import { KiB } from '../../../shared/sizes.ts';
import { partName } from '../parts/part-name.ts';
import { type Coffer1Filter, type Cut, type FileKind, formatHeader } from './coffer1-header.ts';
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
import { IDS_PATH } from './member-paths.ts';
import type { MemberWriter } from './member-writer.ts';
import { PARTS_PATH, formatPartsTable } from './parts-table-text.ts';
import type { PartsTable } from './parts-table.ts';
import type { NextFile } from './series.ts';

/** How a file that contains nothing but parts is written, and its place in its series. */
export interface PartsFileOptions extends Omit<NextFile, 'earlier'> {
  readonly encrypted: boolean;
  readonly compressionFilter: Coffer1Filter | undefined;
  readonly cut: Cut;
  /** When it is made. */
  readonly created: Date;
}

/** What the next file of the series needs to know about a file of parts. */
export interface WrittenParts {
  readonly name: NamedFile;
  readonly table: PartsTable;
  /** The ids of all chunks, in the order of the parts. */
  readonly ids: readonly Buffer[];
}

/** Writes what comes before the parts. */
export async function beginPartsFile(
  writer: MemberWriter,
  kind: Exclude<FileKind, 'backup'>,
  {
    series,
    backupId,
    encrypted,
    compressionFilter,
    cut,
  }: Omit<PartsFileOptions, 'sequence' | 'previous'>,
): Promise<void> {
  const head = await series.head;
  await writer.header(
    formatHeader({
      ...{ format: 'coffer-1', kind, backupId, streamable: false },
      ...{ encrypted, compressionFilter, ...cut, ...head },
    }),
  );
}

/** Writes what follows the parts: their table, the ids, the manifest, the end of the tar. */
export async function endPartsFile(
  writer: MemberWriter,
  { table, ids }: Pick<WrittenParts, 'table' | 'ids'>,
  options: PartsFileOptions,
  compressor: FrameCompressor | undefined,
): Promise<WrittenParts> {
  const { backupId, cut } = options;
  await writeText(writer, PARTS_PATH, formatPartsTable(table), cut, compressor);
  await writeText(writer, IDS_PATH, ids, cut, compressor);
  const mac = await writer.member(
    partName(MANIFEST_PATH, 0).name,
    await compressed(formatManifest(manifestOf(options, writer, table)), compressor),
  );
  await writer.end();
  return { name: { backupId, mac }, table, ids };
}

/** The compressor for the texts of a file; undefined if nothing is compressed. */
export function compressorFor(
  { compressionFilter }: Pick<PartsFileOptions, 'compressionFilter'>,
  signal: AbortSignal,
): FrameCompressor | undefined {
  return compressionFilter === undefined
    ? undefined
    : frameCompressor(compressionFilter, 1, signal);
}

/** The bytes as one frame, or unchanged if nothing is compressed. */
export async function compressed(bytes: Buffer, by: FrameCompressor | undefined): Promise<Buffer> {
  if (by === undefined) return bytes;
  // As in `mostStored`: room for what a compressor adds to data that does not compress.
  return by.compress(
    bytes,
    Buffer.allocUnsafe(bytes.length + Math.ceil(bytes.length / 128) + 4 * KiB),
  );
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

/** The manifest of a file in which the header comes before the parts, and everything else after them. */
function manifestOf(
  { series, sequence, previous, created }: PartsFileOptions,
  { members }: MemberWriter,
  table: PartsTable,
): Manifest {
  return {
    ...{ seriesId: series.seriesId, sequence, previous, needs: [], holds: holdsOf(table) },
    made: `${created.toISOString().slice(0, 19)}Z`,
    ...{ members, parts: table.length, partsBefore: 1, partsLength: lengthOf(table), files: [] },
  };
}

/** How many bytes the parts take in the outer tar. */
function lengthOf(table: PartsTable): number {
  let length = 0;
  for (let row = 0; row < table.length; row++) length += lengthInTar(table.at(row).size);
  return length;
}

function holdsOf(table: PartsTable): PartsBornIn[] {
  return table.moved
    .map(({ backupId, from, to }) => ({ backupId, parts: to - from }))
    .sort((one, other) => (one.backupId < other.backupId ? -1 : 1));
}
