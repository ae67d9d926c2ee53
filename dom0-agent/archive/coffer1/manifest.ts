import { MiB } from '../../../shared/sizes.ts';
import { MAC_LENGTH } from './seal-member.ts';
import { BLOCK, paddingOf } from '../../../shared/tar-block.ts';
import { NUMBER, WORD, invalid } from './text-lines.ts';

export const MANIFEST_PATH = 'manifest';
/** The manifest is one part, whatever its size: a few lines for each file, none for the parts of volumes. */
export const LARGEST_MANIFEST = 64 * MiB;

/** A member as the manifest lists it, together with its `.hmac` member. */
export interface ManifestMember {
  readonly name: string;
  /** Bytes as stored. */
  readonly size: number;
  /** HMAC-SHA512 in hex, as in its `.hmac` member. */
  readonly mac: string;
}

/** A file in the backup. */
export interface ManifestFile {
  readonly path: string;
  /** Its size in bytes before compression; for dom0's home, the size of the tar. */
  readonly size: number;
  /** Only for a volume. */
  readonly volume?: {
    /** How many chunks are data. */
    readonly chunks: number;
    /** How many of the parts that were first stored in this file are of the volume. */
    readonly parts: number;
  };
}

/** A file of the series, identified by its manifest. */
export interface NamedFile {
  readonly backupId: string;
  /** MAC of its `manifest.000`, in hex. */
  readonly mac: string;
}

/** Some of the parts that were first stored in a file of the series, wherever they are now. */
export interface PartsBornIn {
  readonly backupId: string;
  /** How many. */
  readonly parts: number;
}

/** What is in a file of a series. The position of each member follows from the sizes of those before it. */
export interface Manifest {
  readonly seriesId: string;
  /** Its number among the files of its series, from 1. */
  readonly sequence: number;
  /** When it was begun: `2026-11-25T15:42:01Z`. */
  readonly made: string;
  /** The file before it; undefined for the first one. */
  readonly previous: NamedFile | undefined;
  /** The parts that the maps refer to and that were first stored in other files, ascending by id. */
  readonly needs: readonly PartsBornIn[];
  /** The parts in this file that were first stored in other files, ascending by id. */
  readonly holds: readonly PartsBornIn[];
  /** In the archive's order, except the manifest and the parts of volumes. */
  readonly members: readonly ManifestMember[];
  /** How many parts of volumes there are, and how many of the `members` come before them. */
  readonly parts: number;
  readonly partsBefore: number;
  /** How many bytes the parts take in the outer tar, with headers and MACs. */
  readonly partsLength: number;
  readonly files: readonly ManifestFile[];
}

/** The bytes that a member and its `.hmac` take in the outer tar. */
export function lengthInTar(size: number): number {
  return BLOCK + size + paddingOf(size) + BLOCK + MAC_LENGTH + 1 + paddingOf(MAC_LENGTH + 1);
}

/** The text of the manifest. */
export function formatManifest(manifest: Manifest): Buffer {
  const { members, partsBefore, files, previous, needs, holds } = manifest;
  const lines = [
    'coffer-1 manifest',
    `series ${manifest.seriesId} ${manifest.sequence}`,
    `made ${manifest.made}`,
    previous === undefined ? 'previous none' : `previous ${previous.backupId} ${previous.mac}`,
    ...needs.map(({ backupId, parts }) => `needs ${backupId} ${parts}`),
    ...holds.map(({ backupId, parts }) => `holds ${backupId} ${parts}`),
    ...members.slice(0, partsBefore).map(memberLine),
    `parts ${manifest.parts} ${manifest.partsLength}`,
    ...members.slice(partsBefore).map(memberLine),
    ...files.map(fileLine),
    `total ${members.length + manifest.parts} ${files.length} ${lengthBefore(manifest)}`,
  ];
  return Buffer.from(lines.map((line) => `${line}\n`).join(''), 'latin1');
}

/** The position of the manifest itself in the archive. */
function lengthBefore({ members, partsLength }: Manifest): number {
  return members.reduce((sum, { size }) => sum + lengthInTar(size), partsLength);
}

function memberLine({ name, size, mac }: ManifestMember): string {
  return `member ${name} ${size} ${mac}`;
}

function fileLine({ path, size, volume }: ManifestFile): string {
  if (volume === undefined) return `file ${path} ${size}`;
  return `volume ${path} ${size} ${volume.chunks} ${volume.parts}`;
}

const HEAD = new RegExp(
  `^coffer-1 manifest\\nseries ([0-9a-f]{32}) (${NUMBER})\\n` +
    'made ([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)\\n' +
    'previous (?:none|([0-9a-f]{32}) ([0-9a-f]{128}))\\n',
);
const BORN = new RegExp(`^(needs|holds) ([0-9a-f]{32}) (${NUMBER})$`);
const MEMBER = new RegExp(`^member (${WORD}) (${NUMBER}) ([0-9a-f]{128})$`);
const PARTS = new RegExp(`^parts (${NUMBER}) (${NUMBER})$`);
const FILE = new RegExp(`^file (${WORD}) (${NUMBER})$`);
const VOLUME = new RegExp(`^volume (${WORD}) (${NUMBER}) (${NUMBER}) (${NUMBER})$`);

/** Parses an authenticated manifest. Throws DamagedError unless it is exactly as `formatManifest` writes it. */
export function parseManifest(bytes: Buffer): Manifest {
  const text = bytes.toString('latin1');
  const [, seriesId = '', sequence, made = '', backupId, mac = ''] = HEAD.exec(text) ?? [];
  const previous = backupId === undefined ? undefined : { backupId, mac };
  const needs: PartsBornIn[] = [];
  const holds: PartsBornIn[] = [];
  const members: ManifestMember[] = [];
  const files: ManifestFile[] = [];
  let [parts, partsBefore, partsLength] = [0, 0, 0];
  for (const line of text.split('\n').slice(4)) {
    const [, verb, id, bornThere] = BORN.exec(line) ?? [];
    if (id !== undefined) {
      (verb === 'needs' ? needs : holds).push({ backupId: id, parts: Number(bornThere) });
    }
    const [, name = '', size, mac = ''] = MEMBER.exec(line) ?? [];
    if (size !== undefined) members.push({ name, size: Number(size), mac });
    const [, count, length] = PARTS.exec(line) ?? [];
    if (count !== undefined) {
      [parts, partsBefore, partsLength] = [Number(count), members.length, Number(length)];
    }
    const file = fileOf(line);
    if (file !== undefined) files.push(file);
  }
  const manifest: Manifest = {
    ...{ seriesId, sequence: Number(sequence), made, previous, needs, holds },
    ...{ members, parts, partsBefore, partsLength, files },
  };
  if (!formatManifest(manifest).equals(bytes) || !isSound(manifest)) throw invalid('the manifest');
  return manifest;
}

/** Whether it is plausible: only the first file has no previous one, and no file is named twice. */
function isSound({ sequence, previous, needs, holds }: Manifest): boolean {
  const isFirst = previous === undefined;
  return sequence >= 1 && (sequence === 1) === isFirst && [needs, holds].every(isAscending);
}

function isAscending(files: readonly PartsBornIn[]): boolean {
  const isAfter = (id: string, former?: PartsBornIn): boolean =>
    former === undefined || former.backupId < id;
  return files.every(
    ({ backupId, parts }, place) => parts > 0 && isAfter(backupId, files[place - 1]),
  );
}

function fileOf(line: string): ManifestFile | undefined {
  const [, path, size] = FILE.exec(line) ?? [];
  if (path !== undefined) return { path, size: Number(size) };
  const [, volumePath, volumeSize, chunks, parts] = VOLUME.exec(line) ?? [];
  if (volumePath === undefined) return undefined;
  const volume = { chunks: Number(chunks), parts: Number(parts) };
  return { path: volumePath, size: Number(volumeSize), volume };
}
