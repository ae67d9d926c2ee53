import { partName } from '../parts/part-name.ts';
import { ID_LENGTH } from './chunk-ids.ts';
import type { FrameCompressor } from './frame-compressor.ts';
import { movedPath, trimmedPath } from './member-paths.ts';
import { type CopyingSink, CopyingWriter, type MemberPlace } from './member-writer.ts';
import {
  type PartsFileOptions,
  type WrittenParts,
  beginPartsFile,
  compressed,
  compressorFor,
  endPartsFile,
} from './parts-file.ts';
import { PartsTable } from './parts-table.ts';

/** A part that goes into a pack. */
interface PackedPart {
  /** The file in which it was first stored, and its number there. */
  readonly bornIn: string;
  readonly number: number;
  readonly domain: string;
  /** The ids of its chunks, 16 bytes each. */
  readonly ids: Buffer;
}

/** A part that is copied unchanged, with the keys that it has. */
export interface MovingPart extends PackedPart, MemberPlace {
  /** Bytes as stored. */
  readonly size: number;
}

/** A part with only some of its chunks, which is sealed again. */
export interface TrimmedPart extends PackedPart {
  /** Which of its original chunks are left, as bits. */
  readonly mask: number;
  /** Its text, and these chunks. */
  readonly content: Buffer;
}

/**
 * Writes a pack: parts of other files of the series, unchanged or trimmed, and the table that says which they are.
 * Unchanged ones are copied by the storage; the caller must authenticate them before it deletes the other files.
 *
 * @param parts those first stored in the same file one after the other, with ascending numbers
 */
export async function writePack(
  parts: AsyncIterable<MovingPart | TrimmedPart>,
  output: CopyingSink,
  options: PartsFileOptions,
  signal: AbortSignal,
): Promise<WrittenParts> {
  const { series, backupId, encrypted } = options;
  await using compressor = compressorFor(options, signal);
  const writer = new CopyingWriter(output, { root: series.key, backupId, encrypted });
  await beginPartsFile(writer, 'pack', options);
  const table = new PartsTable();
  const ids: Buffer[] = [];
  for await (const part of parts) {
    signal.throwIfAborted();
    const { bornIn, number, domain } = part;
    const size = await storePart(writer, part, compressor);
    const chunks = part.ids.length / ID_LENGTH;
    const mask = 'content' in part ? part.mask : undefined;
    table.addMoved(bornIn, number, { size, chunks, domain }, mask);
    ids.push(part.ids);
  }
  return await endPartsFile(writer, { table, ids }, options, compressor);
}

/** Returns its stored size in bytes. */
async function storePart(
  writer: CopyingWriter,
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
