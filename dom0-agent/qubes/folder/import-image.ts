import type { FileHandle } from 'node:fs/promises';

import { FailedError, messageOf, systemCodeOf } from '../../../shared/errors.ts';
import type { DataPiece } from '../../../shared/sparse-data.ts';
import { replaceFile } from './replace-file.ts';
import { WriteBehind } from './write-behind.ts';

/**
 * Replaces the image at `path` by `size` bytes, of which `pieces` gives those that are not zero, in
 * ascending order; the rest become holes. All or nothing: when `pieces` throws or does not fit, the
 * disk is full or the signal fires, the image stays as it is and nothing else is left.
 *
 * @param label for messages: `the volume private of work`
 */
export async function importImage(
  path: string,
  label: string,
  size: number,
  pieces: AsyncIterable<DataPiece>,
  signal: AbortSignal,
): Promise<void> {
  const source = new Source(pieces);
  try {
    await replaceFile(path, async (file) => {
      await file.truncate(size);
      await writePieces(file, label, size, source.pieces(), signal);
      signal.throwIfAborted();
    });
  } catch (error) {
    if (error === source.error || systemCodeOf(error) === undefined) throw error;
    const reason = systemCodeOf(error) === 'ENOSPC' ? 'there is no space left' : messageOf(error);
    throw new FailedError(`${label} cannot be written: ${reason}`, { cause: error });
  }
}

/** Tells what the source of the pieces threw from what went wrong with the file. */
class Source {
  error: unknown;
  readonly #pieces: AsyncIterable<DataPiece>;

  constructor(pieces: AsyncIterable<DataPiece>) {
    this.#pieces = pieces;
  }

  async *pieces(): AsyncGenerator<DataPiece, void, undefined> {
    try {
      yield* this.#pieces;
    } catch (error) {
      this.error = error;
      throw error;
    }
  }
}

async function writePieces(
  file: FileHandle,
  label: string,
  size: number,
  pieces: AsyncIterable<DataPiece>,
  signal: AbortSignal,
): Promise<void> {
  const output = new WriteBehind(file);
  try {
    let end = 0;
    for await (const piece of pieces) {
      signal.throwIfAborted();
      const { offset, bytes } = piece;
      if (offset < end || offset + bytes.length > size) {
        throw new FailedError(`${label} cannot be written: its data do not fit its ${size} bytes`);
      }
      await output.write(piece);
      end = offset + bytes.length;
    }
    await output.finish();
  } finally {
    await output.idle();
  }
}
