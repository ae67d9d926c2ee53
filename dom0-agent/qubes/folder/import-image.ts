import type { FileHandle } from 'node:fs/promises';

import { FailedError, messageOf, systemCodeOf } from '../../../shared/errors.ts';
import type { DataPiece } from '../../../shared/sparse-data.ts';
import { replaceFile } from '../replace-file.ts';
import { MiB } from '../../../shared/sizes.ts';
import { BackgroundSync } from '../../../storage/background-sync.ts';

/**
 * Replaces the image at `path` with `size` bytes, of which `pieces` has those that are not zero, in
 * ascending order; the rest become holes. All or nothing: when `pieces` throws or does not fit, the
 * disk is full or the signal fires, the image is left unchanged and nothing else remains.
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

/** Distinguishes errors of the source of the pieces from errors of the file. */
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
        throw new FailedError(
          `${label} cannot be written: its data does not fit its ${size} bytes`,
        );
      }
      await output.write(piece);
      end = offset + bytes.length;
    }
    await output.finish();
  } finally {
    await output.idle();
  }
}

/** How much is written at a time. */
const BATCH = 1 * MiB;

/**
 * Writes pieces in ascending order to a file: adjacent ones are written at once, while the next ones are
 * collected. A write error is thrown by a later call.
 */
class WriteBehind {
  readonly #file: FileHandle;
  readonly #sync: BackgroundSync;
  #batch = Buffer.allocUnsafeSlow(BATCH);
  #spare = Buffer.allocUnsafeSlow(BATCH);
  /** Where in the file the batch begins, and how much is in it. */
  #offset = 0;
  #filled = 0;
  #writing: Promise<void> = Promise.resolve();

  constructor(file: FileHandle) {
    this.#file = file;
    this.#sync = new BackgroundSync(file);
  }

  async write({ offset, bytes }: DataPiece): Promise<void> {
    if (offset !== this.#offset + this.#filled) await this.#flush(offset);
    for (let taken = 0; taken < bytes.length;) {
      const copied = bytes.copy(this.#batch, this.#filled, taken);
      this.#filled += copied;
      taken += copied;
      if (this.#filled === BATCH) await this.#flush(offset + taken);
    }
  }

  /** Resolves when everything is written and synced. */
  async finish(): Promise<void> {
    await this.#flush(0);
    await this.#writing;
    await this.#sync.finish();
  }

  /** Resolves when no write is in progress: the file can then be closed. */
  async idle(): Promise<void> {
    await Promise.allSettled([this.#writing]);
    await this.#sync.idle();
  }

  /** Starts writing the batch once the previous one is written; the next batch begins at `next`. */
  async #flush(next: number): Promise<void> {
    await this.#writing;
    if (this.#filled > 0) {
      this.#writing = this.#writeWhole(this.#batch.subarray(0, this.#filled), this.#offset);
      // An error is thrown when it is awaited; until then it must not count as unhandled.
      void Promise.allSettled([this.#writing]);
      [this.#batch, this.#spare] = [this.#spare, this.#batch];
    }
    this.#offset = next;
    this.#filled = 0;
  }

  async #writeWhole(bytes: Buffer, offset: number): Promise<void> {
    for (let written = 0; written < bytes.length;) {
      const rest = bytes.length - written;
      const done = await this.#file.write(bytes, written, rest, offset + written);
      written += done.bytesWritten;
    }
    this.#sync.wrote(bytes.length);
  }
}
