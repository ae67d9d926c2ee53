import type { ArchivedFile } from '../../dom0-agent/archive/archive.ts';

/** The content of a file of an archive, in pieces: its inner tar, or its data. */
export async function* contentOf(file: ArchivedFile): AsyncGenerator<Buffer, void, undefined> {
  if ('innerTar' in file) yield* file.innerTar;
  else for await (const { bytes } of file.pieces()) yield bytes;
}
