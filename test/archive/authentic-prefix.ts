import type { ArchiveReader } from '../../dom0-agent/archive/archive.ts';
import { contentOf } from './content-of.ts';

/** What each file of an archive gives, by path: its inner tar. */
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
 * Reads an archive that may be forged to its end. Throws what the reader throws, and an error of its own as
 * soon as a byte comes that the genuine archive does not give there: one that was decrypted, decompressed or
 * parsed before it was authenticated.
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
