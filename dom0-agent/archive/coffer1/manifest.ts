import { DamagedError } from '../../../shared/errors.ts';
import { MiB } from '../../../shared/sizes.ts';
import { BLOCK, paddingOf } from '../outer-tar/block.ts';
import { parsePartName } from '../parts.ts';
import { readSmallFile } from '../inner-tar/small-file.ts';
import { tarOfPieces } from '../inner-tar/writer.ts';
import { MAC_LENGTH } from './seal.ts';

export const MANIFEST_PATH = 'manifest';
/** The manifest is one part whatever its size: some 170 bytes for each member. */
export const LARGEST_MANIFEST = 64 * MiB;
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

/** Whether `manifest` is that of just these members. */
export function isManifestOf(manifest: Buffer, members: readonly ManifestMember[]): boolean {
  let compared = 0;
  for (const piece of manifestPieces(members)) {
    if (!manifest.subarray(compared, compared + piece.length).equals(piece)) return false;
    compared += piece.length;
  }
  return compared === manifest.length;
}

/** The members that an authenticated manifest lists. Throws DamagedError. */
export function parseManifest(manifest: Buffer): ManifestMember[] {
  const members: ManifestMember[] = [];
  for (const line of linesOf(manifest)) {
    if (!line.startsWith('member ')) continue;
    const match = /^member (\S+) (0|[1-9][0-9]{0,9}) ([0-9a-f]{128})$/.exec(line);
    if (match?.[1] === undefined || match[3] === undefined) throw unsound();
    members.push({ name: match[1], size: Number(match[2]), mac: match[3] });
  }
  if (!isManifestOf(manifest, members)) throw unsound();
  return members;
}

/** The manifest, from its inner tar. */
export async function readManifest(innerTar: AsyncIterable<Buffer>): Promise<Buffer> {
  return readSmallFile(innerTar, MANIFEST_PATH, LARGEST_MANIFEST);
}

/** Says, in a sentence, where an archive departs from its manifest. */
export function describeDifference(manifest: Buffer, found: readonly ManifestMember[]): string {
  const listed = new Set(linesOf(manifest));
  const present = new Set(found.map(memberLine));
  const missing = [...listed].find((line) => line.startsWith('member ') && !present.has(line));
  const extra = [...present].find((line) => !listed.has(line));
  const nameIn = (line: string): string => line.split(' ')[1] ?? '';
  if (missing !== undefined)
    return `the backup is incomplete: ${nameIn(missing)} is missing or changed`;
  if (extra !== undefined) return `the backup holds ${nameIn(extra)}, which does not belong to it`;
  return 'the members of the backup are not in their order';
}

/** The lines of the manifest, many at a time: a large backup has a hundred thousand of them. */
function* manifestPieces(members: readonly ManifestMember[]): Generator<Buffer> {
  const files = filesOf(members);
  const total = members.reduce((sum, { size }) => sum + size, 0);
  const fileLine = ({ path, parts, size }: ManifestFile): string => `file ${path} ${parts} ${size}`;
  yield Buffer.from('coffer-1 manifest\n');
  yield* piecesOf(members, memberLine);
  yield* piecesOf(files, fileLine);
  yield Buffer.from(`total ${members.length} ${files.length} ${total}\n`);
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

function* linesOf(text: Buffer): Generator<string> {
  for (let start = 0; start < text.length;) {
    const found = text.indexOf('\n', start);
    const end = found === -1 ? text.length : found;
    yield text.toString('latin1', start, end);
    start = end + 1;
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
