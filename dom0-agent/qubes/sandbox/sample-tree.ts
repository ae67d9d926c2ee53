import { mkdir, symlink, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { createHash, createCipheriv } from 'node:crypto';

/** Something in a sample file system. */
export type SampleEntry =
  | { readonly path: string; readonly kind: SampleKind; readonly bytes: number }
  | { readonly path: string; readonly text: string; readonly executable?: boolean }
  | { readonly path: string; readonly linkTo: string }
  | { readonly path: string; readonly emptyDirectory: true };

/** All samples have this time, so that the same samples have the same times. */
const MODIFIED = new Date('2026-03-01T12:00:00Z');

/** Makes files, directories and links beneath `root`, which need not exist. */
export async function writeSampleTree(
  root: string,
  entries: readonly SampleEntry[],
  signal: AbortSignal,
): Promise<void> {
  await mkdir(root, { recursive: true });
  for (const entry of entries) {
    signal.throwIfAborted();
    const path = join(root, entry.path);
    await mkdir(dirname(path), { recursive: true });
    if ('emptyDirectory' in entry) {
      await mkdir(path, { recursive: true });
    } else if ('linkTo' in entry) {
      await symlink(entry.linkTo, path);
    } else {
      await writeFile(path, contentOf(entry), { mode: isExecutable(entry) ? 0o755 : 0o644 });
      await utimes(path, MODIFIED, MODIFIED);
    }
  }
}

/** `count` files `<directory>/<stem>-<n><suffix>` of one kind, which differ in content and size. */
export function manyFiles(
  path: readonly [directory: string, stem: string, suffix: string],
  count: number,
  kind: SampleKind,
  bytes: number,
): SampleEntry[] {
  const [directory, stem, suffix] = path;
  return Array.from({ length: count }, (_, i) => ({
    path: `${directory}/${stem}-${i + 1}${suffix}`,
    kind,
    bytes: bytes + i * 37,
  }));
}

type FileEntry = Extract<SampleEntry, { kind: SampleKind } | { text: string }>;

function contentOf(entry: FileEntry): Buffer | string {
  return 'text' in entry ? entry.text : sampleData(entry.kind, entry.bytes, entry.path);
}

function isExecutable(entry: FileEntry): boolean {
  return 'kind' in entry ? entry.kind === 'program' : entry.executable === true;
}

/** The content of sample files: as compressible as that on real disks. */
export type SampleKind = 'prose' | 'records' | 'program' | 'noise';
const SYLLABLES =
  'an ba co de el fi go ha in jo ka le mo na or pu qui re si to um ve wa xi yo za'.split(' ');
/** 256 words, one for each value of a byte. */
const WORDS = Array.from({ length: 256 }, (_, i) => {
  const syllable = (at: number): string => SYLLABLES[at % SYLLABLES.length] ?? '';
  return syllable(i) + syllable(i >> 3) + (i % 3 === 0 ? syllable(i >> 5) : '');
});
const SERVICES = ['kernel', 'systemd[1]', 'qubesdb-daemon', 'NetworkManager[611]', 'cron[702]'];

/** `length` bytes of a kind. The same seed gives the same bytes, always and everywhere. */
export function sampleData(kind: SampleKind, length: number, seed: string): Buffer {
  switch (kind) {
    case 'prose':
      return prose(length, seed);
    case 'records':
      return records(length, seed);
    case 'program':
      return program(length, seed);
    case 'noise':
      return noise(length, seed);
  }
}

/** A keystream: nothing compresses it, and nothing makes it faster. */
function noise(length: number, seed: string): Buffer {
  const key = createHash('sha256').update(seed).digest();
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(length));
}

function prose(length: number, seed: string): Buffer {
  const pieces: string[] = [];
  // The shortest word has three letters, and a space follows.
  for (const [position, byte] of noise(Math.ceil(length / 4), seed).entries()) {
    pieces.push(WORDS[byte] ?? '', position % 13 === 12 ? '.\n' : ' ');
  }
  return Buffer.from(pieces.join(''), 'latin1').subarray(0, length);
}

/** Lines of a log. */
function records(length: number, seed: string): Buffer {
  const lines: string[] = [];
  let written = 0;
  const random = noise(Math.ceil(length / 16), seed);
  for (let number = 0; written < length; number++) {
    const word = WORDS[random[number] ?? 0] ?? '';
    const service = SERVICES[number % SERVICES.length] ?? '';
    const line = `2026-03-01T${clock(number)} work ${service}: ${word} ${number} finished, status=0\n`;
    lines.push(line);
    written += line.length;
  }
  return Buffer.from(lines.join(''), 'latin1').subarray(0, length);
}

function clock(seconds: number): string {
  const two = (value: number): string => `${value % 60}`.padStart(2, '0');
  return `${two(Math.floor(seconds / 3600) % 24)}:${two(Math.floor(seconds / 60))}:${two(seconds)}`;
}

/** Of each 4 KiB, a half that does not compress, and tables with few different values. */
function program(length: number, seed: string): Buffer {
  const bytes = noise(length, seed);
  for (let page = 0; page < length; page += 4096) {
    const [table, end] = [page + 2048, Math.min(page + 4096, length)];
    bytes.fill(0, table, end);
    for (let at = table; at < end; at += 8) bytes[at] = (bytes[at - 2048] ?? 0) & 0x0f;
  }
  return bytes;
}
