import { DamagedError } from '../../../shared/errors.ts';
import { MiB } from '../../../shared/sizes.ts';
import { BLOCK, paddingOf } from '../../../shared/tar-block.ts';
import { parsePartName } from '../parts/part-names.ts';
import { readSmallFile } from '../tar/read-small-file.ts';
import { tarOfPieces } from '../tar/inner-writer.ts';
import { MAC_LENGTH } from './seal-member.ts';

export const MANIFEST_PATH = 'manifest';
/** The manifest is one part whatever its size: some 170 bytes for each member. */
export const LARGEST_MANIFEST = 64 * MiB;
export const FIRST_LINE = 'coffer-1 manifest\n';
/** How many lines are made at a time. */
const LINES_AT_ONCE = 1000;

/** A member as the manifest tells of it; its `.hmac` member is meant with it. */
export interface ManifestMember {
  readonly name: string;
  /** Bytes as stored. */
  readonly size: number;
  /** HMAC-SHA512 in hex, as in its `.hmac` member. */
  readonly mac: string;
}

/** A file as the manifest tells of it: what its parts add up to. */
export interface ManifestFile {
  readonly path: string;
  readonly parts: number;
  readonly size: number;
  /** Where its first part stands among the members. */
  readonly firstMember: number;
}

/** The manifest: everything in it follows from the members. */
export function formatManifest(members: readonly ManifestMember[]): Buffer {
  return Buffer.concat([...manifestPieces(members)]);
}

/** The inner tar of the manifest, of which no more than a piece is in memory. */
export function manifestTar(members: readonly ManifestMember[]): AsyncIterable<Buffer> {
  let size = 0;
  for (const piece of manifestPieces(members)) size += piece.length;
  return tarOfPieces(MANIFEST_PATH, size, manifestPieces(members));
}

/** Whether `manifest` is made of just these pieces. */
export function isMadeOf(manifest: Buffer, pieces: Iterable<Buffer>): boolean {
  let compared = 0;
  for (const piece of pieces) {
    if (!manifest.subarray(compared, compared + piece.length).equals(piece)) return false;
    compared += piece.length;
  }
  return compared === manifest.length;
}

/** The members that an authenticated manifest lists. Throws DamagedError. */
export function parseManifest(manifest: Buffer): ManifestMember[] {
  const members: ManifestMember[] = [];
  for (const line of linesOf([manifest])) {
    if (!line.startsWith('member ')) continue;
    const match = /^member (\S+) (0|[1-9][0-9]{0,9}) ([0-9a-f]{128})$/.exec(line);
    if (match?.[1] === undefined || match[3] === undefined) throw unsound();
    members.push({ name: match[1], size: Number(match[2]), mac: match[3] });
  }
  if (!isMadeOf(manifest, manifestPieces(members))) throw unsound();
  return members;
}

/** The manifest, from its inner tar. */
export async function readManifest(innerTar: AsyncIterable<Buffer>): Promise<Buffer> {
  return readSmallFile(innerTar, MANIFEST_PATH, LARGEST_MANIFEST);
}

/** The lines of the manifest, many at a time: a large backup has a hundred thousand of them. */
function* manifestPieces(members: readonly ManifestMember[]): Generator<Buffer> {
  const files = filesOf(members);
  const total = members.reduce((sum, { size }) => sum + size, 0);
  yield Buffer.from(FIRST_LINE);
  yield* piecesOf(members, memberLine);
  yield* piecesOf(files, fileLine);
  yield Buffer.from(totalLine(members.length, files.length, total));
}

function* piecesOf<T>(items: readonly T[], lineOf: (item: T) => string): Generator<Buffer> {
  for (let at = 0; at < items.length; at += LINES_AT_ONCE) {
    const lines = items.slice(at, at + LINES_AT_ONCE).map((item) => `${lineOf(item)}\n`);
    yield Buffer.from(lines.join(''), 'latin1');
  }
}

/** A member's line, without the line's end. */
export function memberLine({ name, size, mac }: ManifestMember): string {
  return `member ${name} ${size} ${mac}`;
}

/** A file's line, without the line's end. */
export function fileLine({ path, parts, size }: Omit<ManifestFile, 'firstMember'>): string {
  return `file ${path} ${parts} ${size}`;
}

export function totalLine(members: number, files: number, bytes: number): string {
  return `total ${members} ${files} ${bytes}\n`;
}

/** The lines of a text that comes in pieces, each of which ends with a line. */
export function* linesOf(pieces: Iterable<Buffer>): Generator<string> {
  for (const piece of pieces) {
    for (let start = 0; start < piece.length;) {
      const found = piece.indexOf('\n', start);
      const end = found === -1 ? piece.length : found;
      yield piece.toString('latin1', start, end);
      start = end + 1;
    }
  }
}

/** The files that members are the parts of. `backup-header` is a member, but no file. */
export function filesOf(members: readonly ManifestMember[]): ManifestFile[] {
  const files: { path: string; parts: number; size: number; firstMember: number }[] = [];
  for (const [position, { name, size }] of members.entries()) {
    const part = parsePartName(name);
    if (part === undefined) continue;
    const last = files.at(-1);
    if (part.index > 0 && last?.path === part.path && last.parts === part.index) {
      last.parts += 1;
      last.size += size;
    } else {
      if (part.index !== 0) throw unsound();
      files.push({ path: part.path, parts: 1, size, firstMember: position });
    }
  }
  return files;
}

/** The bytes that a member and its `.hmac` take in the outer tar. */
export function storedLength(size: number): number {
  return BLOCK + size + paddingOf(size) + BLOCK + MAC_LENGTH + 1 + paddingOf(MAC_LENGTH + 1);
}

function unsound(): DamagedError {
  return new DamagedError('the manifest of the backup is not sound, though authentic');
}
