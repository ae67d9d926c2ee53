import { noteBuffer } from '../../../shared/buffer-collection.ts';
import type { PartBuffers } from './part-buffers.ts';

/** A part of a file, in memory that must be given back. */
export interface Part {
  readonly bytes: Buffer;
  /** What `bytes` lies at the beginning of. */
  readonly buffer: Buffer;
}

/**
 * `source`, cut into parts that fill a buffer each, but for the last one, which is smaller; none when it is
 * empty.
 */
export async function* cutIntoParts(
  source: AsyncIterable<Buffer>,
  buffers: PartBuffers,
): AsyncGenerator<Part, void, undefined> {
  let buffer: Buffer | undefined;
  let filled = 0;
  for await (const chunk of source) {
    noteBuffer(chunk.length);
    for (let taken = 0; taken < chunk.length;) {
      buffer ??= await buffers.take();
      const copied = chunk.copy(buffer, filled, taken);
      taken += copied;
      filled += copied;
      if (filled === buffer.length) {
        yield { bytes: buffer, buffer };
        buffer = undefined;
        filled = 0;
      }
    }
  }
  if (buffer !== undefined) yield { bytes: buffer.subarray(0, filled), buffer };
}

/** The name of a file's part as a member: `vm5/private.img` and 7 give `vm5/private.img.007`. */
export function partName(path: string, index: number): string {
  return `${path}.${index.toString().padStart(3, '0')}`;
}

/** Takes a part's name apart; undefined when it is not one that `partName` makes. */
export function parsePartName(name: string): { path: string; index: number } | undefined {
  const match = /^(.+)\.([0-9]{3,9})$/.exec(name);
  if (match?.[1] === undefined) return undefined;
  const part = { path: match[1], index: Number(match[2]) };
  return partName(part.path, part.index) === name ? part : undefined;
}
