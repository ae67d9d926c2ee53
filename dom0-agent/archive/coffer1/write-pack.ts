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

/**
 * Writes a pack: parts of other files of the series, byte for byte under the keys of their birth, or trimmed, and what tells
 * where they lie. The former are copied in the storage; whoever deletes the others authenticates them first.
 *
 * @param parts those that were born in the same file one behind the other, with ascending numbers
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

/** Gives its bytes as stored. */
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
