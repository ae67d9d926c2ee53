import { DamagedError } from '../../../shared/errors.ts';
import { formatSize } from '../../../shared/sizes.ts';
import { type ArchivedFile, LARGEST_QUBES_XML } from '../archive.ts';
import type { DataPiece } from '../../../shared/sparse-data.ts';

/** All bytes of a file that has to be small. Throws DamagedError as soon as it has more than `limit` bytes. */
export async function wholeOf(
  content: AsyncIterable<Buffer>,
  limit: number,
  what: string,
): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of content) {
    length += piece.length;
    if (length > limit) {
      throw new DamagedError(
        `${what} in the backup is larger than the ${formatSize(limit)} that it may have`,
      );
    }
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

/** A small file with all of its content in memory. If it is damaged, reading it throws the error. */
export async function smallFile(
  path: string,
  content: AsyncIterable<Buffer>,
): Promise<ArchivedFile> {
  try {
    return textFile(path, await wholeOf(content, LARGEST_QUBES_XML, path));
  } catch (error) {
    if (!(error instanceof DamagedError)) throw error;
    return brokenFile(path, 0, error);
  }
}

/** A small file with these bytes as its content. */
export function textFile(path: string, bytes: Buffer): ArchivedFile {
  return { path, size: bytes.length, pieces: () => onePiece(bytes) };
}

/** A damaged file: reading it throws the error. */
export function brokenFile(path: string, size: number, damage: DamagedError): ArchivedFile {
  return { path, size, pieces: () => failing(damage) };
}

async function* onePiece(bytes: Buffer): AsyncGenerator<DataPiece, void, undefined> {
  yield await Promise.resolve({ offset: 0, bytes });
}

function failing(damage: DamagedError): AsyncIterable<DataPiece> {
  return { [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(damage) }) };
}
