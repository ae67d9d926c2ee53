import type { FileToArchive } from '../../../dom0-agent/archive/archive.ts';
import { scryptCost } from '../../../dom0-agent/archive/coffer1/scrypt-cost.ts';
import {
  type Coffer1Options,
  writeCoffer1,
} from '../../../dom0-agent/archive/coffer1/write-coffer1.ts';
import { plainTar } from '../../../dom0-agent/archive/tar/inner-writer.ts';
import { MemoryOutput } from '../memory.ts';

export const PASSPHRASE = 'correct horse battery staple';
export const never = new AbortController().signal;

/** Cheap keys and small parts, so that a small archive has many members. */
export const OPTIONS: Coffer1Options = {
  // Of its own for each: it is wiped.
  get passphrase() {
    return Buffer.from(PASSPHRASE);
  },
  encrypted: true,
  compressionFilter: undefined,
  kdf: scryptCost(14),
  partSize: 4096,
};

/** Archives `contents`, plain files by path, behind a qubes.xml. */
export async function makeArchive(
  contents: Readonly<Record<string, Buffer>>,
  options: Partial<Coffer1Options> = {},
): Promise<Buffer> {
  const output = new MemoryOutput();
  await writeCoffer1(filesOf(contents), output, { ...OPTIONS, ...options }, never);
  return output.bytes;
}

async function* filesOf(contents: Readonly<Record<string, Buffer>>): AsyncGenerator<FileToArchive> {
  const all = { 'qubes.xml': Buffer.from('<qubes/>'), ...contents };
  for (const [path, bytes] of Object.entries(all)) {
    yield await Promise.resolve({ path, innerTar: plainTar(path, bytes) });
  }
}
