import { DamagedError } from '../../../shared/errors.ts';
import { MiB } from '../../../shared/sizes.ts';
import { BLOCK, paddingOf } from '../outer-tar/block.ts';
import { parsePartName } from '../parts.ts';
import { readSmallFile } from '../inner-tar/small-file.ts';
import { MAC_LENGTH } from './seal.ts';

export const MANIFEST_PATH = 'manifest';
/** The manifest is one part whatever its size: some 170 bytes for each member. */
export const LARGEST_MANIFEST = 64 * MiB;

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

/** The text of the manifest: everything in it follows from the members. */
export function formatManifest(members: readonly ManifestMember[]): string {
  const files = filesOf(members);
  const total = members.reduce((sum, { size }) => sum + size, 0);
  return [
    'coffer-1 manifest',
    ...members.map(({ name, size, mac }) => `member ${name} ${size} ${mac}`),
    ...files.map(({ path, parts, size }) => `file ${path} ${parts} ${size}`),
    `total ${members.length} ${files.length} ${total}`,
    '',
  ].join('\n');
}

/** The members that an authenticated manifest lists. Throws DamagedError. */
export function parseManifest(text: string): ManifestMember[] {
  const members: ManifestMember[] = [];
  for (const line of text.split('\n')) {
    if (!line.startsWith('member ')) continue;
    const match = /^member (\S+) (0|[1-9][0-9]{0,9}) ([0-9a-f]{128})$/.exec(line);
    if (match?.[1] === undefined || match[3] === undefined) throw unsound();
    members.push({ name: match[1], size: Number(match[2]), mac: match[3] });
  }
  if (formatManifest(members) !== text) throw unsound();
  return members;
}

/** The text of the manifest, from its inner tar. */
export async function readManifest(innerTar: AsyncIterable<Buffer>): Promise<string> {
  return (await readSmallFile(innerTar, MANIFEST_PATH, LARGEST_MANIFEST)).toString('latin1');
}

/** Says, in a sentence, where an archive departs from its manifest. */
export function describeDifference(manifest: string, found: string): string {
  const listed = new Set(manifest.split('\n'));
  const present = new Set(found.split('\n'));
  const missing = [...listed].find((line) => line.startsWith('member ') && !present.has(line));
  const extra = [...present].find((line) => line.startsWith('member ') && !listed.has(line));
  const nameIn = (line: string): string => line.split(' ')[1] ?? '';
  if (missing !== undefined)
    return `the backup is incomplete: ${nameIn(missing)} is missing or changed`;
  if (extra !== undefined) return `the backup holds ${nameIn(extra)}, which does not belong to it`;
  return 'the members of the backup are not in their order';
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
