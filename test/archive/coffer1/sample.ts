import type { Content, VolumeContent } from '../../../dom0-agent/archive/content.ts';
import {
  type Coffer1Options,
  writeCoffer1,
} from '../../../dom0-agent/archive/coffer1/write-coffer1.ts';
import { scryptCost } from '../../../dom0-agent/archive/scrypt-cost.ts';
import { type NextFile, firstFile } from '../../../dom0-agent/archive/coffer1/series.ts';
import { KiB } from '../../../shared/sizes.ts';
import { MemoryOutput } from '../memory.ts';

export const PASSPHRASE = 'correct horse battery staple';
export const never = new AbortController().signal;
export const GRAIN = 64 * KiB;

/** Cheap keys and small parts, so that a small backup has many members. */
export const OPTIONS: Omit<Coffer1Options, keyof NextFile> = {
  encrypted: true,
  compressionFilter: undefined,
  cut: { grain: GRAIN, partSize: 2 * GRAIN },
  created: new Date('2026-11-25T15:42:01Z'),
};

/** Options of a sample. */
export type SampleOptions = Partial<Coffer1Options> & { readonly passphrase?: Buffer };

/** The first file of a series with a cheap key derivation; wipes the passphrase. */
export function sampleFile(passphrase: Buffer = Buffer.from(PASSPHRASE)): NextFile {
  return firstFile(passphrase, scryptCost(14));
}

/** Files by path: those that end in `.img` are volumes, dom0's home is a tree, the others are small. */
export type Contents = Readonly<Record<string, Buffer>>;

/** Backs up a qubes.xml and `contents`. */
export async function makeArchive(
  contents: Contents,
  { passphrase, ...options }: SampleOptions = {},
): Promise<Buffer> {
  const output = new MemoryOutput();
  const all = { ...OPTIONS, ...sampleFile(passphrase), ...options };
  await writeCoffer1(contentsOf(contents), output, all, never);
  return output.bytes;
}

export async function* contentsOf(contents: Contents): AsyncGenerator<Content> {
  const all: Contents = { 'qubes.xml': Buffer.from('<qubes/>'), ...contents };
  for (const [path, bytes] of Object.entries(all))
    yield await Promise.resolve(contentOf(path, bytes));
}

function contentOf(path: string, bytes: Buffer): Content {
  if (path.endsWith('.img')) return volumeOf(path, bytes);
  if (path.startsWith('dom0-home/')) return { kind: 'tree', path, tar: once(bytes) };
  return { kind: 'file', path, bytes };
}

export function volumeOf(path: string, bytes: Buffer): VolumeContent {
  return {
    ...{ kind: 'volume', path, domain: path, origin: path, size: bytes.length },
    extents: [{ offset: 0, length: bytes.length }],
    read: (buffer, offset) => {
      bytes.copy(buffer, 0, offset);
      return Promise.resolve();
    },
  };
}

async function* once(bytes: Buffer): AsyncGenerator<Buffer> {
  yield await Promise.resolve(bytes);
}
