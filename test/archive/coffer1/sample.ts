import type { Content, VolumeContent } from '../../../dom0-agent/archive/content.ts';
import {
  type Coffer1Options,
  writeCoffer1,
} from '../../../dom0-agent/archive/coffer1/write-coffer1.ts';
import { scryptCost } from '../../../dom0-agent/archive/scrypt-cost.ts';
import { KiB } from '../../../shared/sizes.ts';
import { MemoryOutput } from '../memory.ts';

export const PASSPHRASE = 'correct horse battery staple';
export const never = new AbortController().signal;
export const GRAIN = 64 * KiB;

/** Cheap keys and small parts, so that a small backup has many members. */
export const OPTIONS: Coffer1Options = {
  // Of its own for each: it is wiped.
  get passphrase() {
    return Buffer.from(PASSPHRASE);
  },
  encrypted: true,
  compressionFilter: undefined,
  kdf: scryptCost(14),
  cut: { grain: GRAIN, partSize: 2 * GRAIN },
  created: new Date('2026-11-25T15:42:01Z'),
};

/** Files by path: those that end in `.img` are volumes, dom0's home is a tree, the others are small. */
export type Contents = Readonly<Record<string, Buffer>>;

/** Backs up `contents`, behind a qubes.xml. */
export async function makeArchive(
  contents: Contents,
  options: Partial<Coffer1Options> = {},
): Promise<Buffer> {
  const output = new MemoryOutput();
  await writeCoffer1(contentsOf(contents), output, { ...OPTIONS, ...options }, never);
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
