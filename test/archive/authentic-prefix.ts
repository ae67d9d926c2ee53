import type { ArchiveReader } from '../../dom0-agent/archive/archive.ts';
import { contentOf } from './content-of.ts';

/** The content of each file of an archive, by path: for a tree, its inner tar. */
export type InnerTars = ReadonlyMap<string, Buffer>;

export async function innerTarsOf(reader: ArchiveReader): Promise<InnerTars> {
  await reader.qubesXml();
  const found = new Map<string, Buffer>();
  for await (const file of reader.files(() => true)) {
    const { path } = file;
    const chunks: Buffer[] = [];
    for await (const chunk of contentOf(file)) chunks.push(Buffer.from(chunk));
    found.set(path, Buffer.concat(chunks));
  }
  return found;
}

/**
 * Reads a possibly forged archive to its end. Throws the errors of the reader, and one of its own as soon as a byte
 * differs from the genuine archive: it was decrypted, decompressed or parsed before it was authenticated.
 */
export async function readNothingElse(reader: ArchiveReader, genuine: InnerTars): Promise<void> {
  await reader.qubesXml();
  for await (const file of reader.files(() => true)) {
    const { path } = file;
    let at = 0;
    for await (const chunk of contentOf(file)) {
      const authentic = genuine.get(path)?.subarray(at, at + chunk.length);
      if (!authentic?.equals(chunk))
        throw new Error(`${path} gave what is not authentic, at ${at}`);
      at += chunk.length;
    }
  }
}
