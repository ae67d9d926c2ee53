import { mkdir, symlink, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { sampleData, type SampleKind } from './sample-data.ts';

/** Something in a sample file system. */
export type SampleEntry =
  | { readonly path: string; readonly kind: SampleKind; readonly bytes: number }
  | { readonly path: string; readonly text: string; readonly executable?: boolean }
  | { readonly path: string; readonly linkTo: string }
  | { readonly path: string; readonly emptyDirectory: true };

/** Samples are not newer than this, so that the same samples have the same times. */
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
