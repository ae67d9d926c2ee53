import { DamagedError } from '../../shared/errors.ts';
import { printable } from '../../shared/printable.ts';
import { KiB, formatSize } from '../../shared/sizes.ts';
import type { ArchivedFile, TarredFile } from '../archive/archive.ts';
import { type TarMember, untar } from '../archive/tar/inner-reader.ts';
import type { DataPiece } from '../../shared/sparse-data.ts';
import { type ArchivedPath, parseArchivedPath } from './archived-files.ts';

/** The longest explanation why a VM is incomplete, in bytes. */
const LONGEST_REASON = 64 * KiB;

/** A file of a VM that is being read from an archive. */
export interface BackedUpFile {
  /** `vm5/private.img`. */
  readonly path: string;
  /** The same path, parsed. */
  readonly place: ArchivedPath;
  /** Apparent size in bytes. */
  readonly size: number;
  /** The data without holes. To be read once, before the next file. Throws DamagedError. */
  readonly pieces: () => AsyncIterable<DataPiece>;
}

/**
 * The VM's files in a file of the archive: only itself, or if it is a whole directory (`vm9/.`) the files
 * directly in it. Throws DamagedError when its content does not match its name.
 */
export async function* backedUpFiles(file: ArchivedFile): AsyncGenerator<BackedUpFile> {
  const place = parseArchivedPath(file.path);
  if ('pieces' in file) yield { ...file, place };
  else if (place.kind === 'directory') yield* filesIn(place.directory, file);
  else yield* onlyFile(file, place);
}

/** The text of a small file. Throws DamagedError when it has more than `limit` bytes. */
export async function textOf(file: BackedUpFile, limit: number): Promise<string> {
  if (file.size > limit) {
    throw new DamagedError(
      `${file.path} in the backup is larger than the ${formatSize(limit)} that it may have`,
    );
  }
  const content = Buffer.alloc(file.size);
  for await (const { offset, bytes } of file.pieces()) bytes.copy(content, offset);
  return content.toString('utf8');
}

/** Why a VM is incomplete, for messages, from the file that says so. Throws DamagedError. */
export async function whyIncomplete(file: BackedUpFile): Promise<string> {
  const why = printable(await textOf(file, LONGEST_REASON));
  return `the backup itself says that it is incomplete: ${why}`;
}

async function* filesIn(
  directory: string,
  { path, innerTar }: TarredFile,
): AsyncGenerator<BackedUpFile> {
  for await (const member of untar(innerTar, path)) {
    const place = parseArchivedPath(member.path);
    if (member.type === 'file' && place.directory === directory) {
      yield { path: member.path, place, size: member.realSize, pieces: member.pieces };
    }
  }
}

/** The pieces end without an error only when the whole inner tar is valid. */
async function* onlyFile(
  { path, innerTar }: TarredFile,
  place: ArchivedPath,
): AsyncGenerator<BackedUpFile> {
  const members = untar(innerTar, path);
  try {
    const first = await members.next();
    if (first.done === true) throw new DamagedError(`${path} in the backup is empty`);
    const member = first.value;
    if (member.type !== 'file' || member.path !== path) {
      throw new DamagedError(`${path} in the backup contains something other than its name says`);
    }
    yield { path, place, size: member.realSize, pieces: () => piecesToTheEnd(member, members) };
    await requireEnd(path, members);
  } finally {
    await members.return();
  }
}

async function* piecesToTheEnd(
  member: TarMember,
  members: AsyncGenerator<TarMember>,
): AsyncGenerator<DataPiece> {
  yield* member.pieces();
  await requireEnd(member.path, members);
}

async function requireEnd(path: string, members: AsyncGenerator<TarMember>): Promise<void> {
  if ((await members.next()).done === true) return;
  throw new DamagedError(`${path} in the backup contains more than one file`);
}

/** The same chunks; `count` is called with the length of each once it has been consumed. */
export async function* countBytes(
  source: AsyncIterable<Buffer>,
  count: (bytes: number) => void,
): AsyncGenerator<Buffer, void, undefined> {
  for await (const chunk of source) {
    yield chunk;
    count(chunk.length);
  }
}

/** The same file; `count` is called for its data as in `countBytes`. */
export function countFile(file: ArchivedFile, count: (bytes: number) => void): ArchivedFile {
  if ('innerTar' in file) return { path: file.path, innerTar: countBytes(file.innerTar, count) };
  return { ...file, pieces: () => countPieces(file.pieces(), count) };
}

async function* countPieces(
  pieces: AsyncIterable<DataPiece>,
  count: (bytes: number) => void,
): AsyncGenerator<DataPiece, void, undefined> {
  for await (const piece of pieces) {
    yield piece;
    count(piece.bytes.length);
  }
}

/** The tar of a file that is a directory tree. Throws DamagedError when it is not one. */
export function treeOf(file: ArchivedFile): AsyncIterable<Buffer> {
  if ('innerTar' in file) return file.innerTar;
  throw new DamagedError(`${file.path} in the backup contains something other than its name says`);
}
