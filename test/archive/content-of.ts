import type { ArchivedFile } from '../../dom0-agent/archive/archive.ts';

/** All that an archive holds of a file, as it comes: its inner tar, or its data. */
export async function* contentOf(file: ArchivedFile): AsyncGenerator<Buffer, void, undefined> {
  if ('innerTar' in file) yield* file.innerTar;
  else for await (const { bytes } of file.pieces()) yield bytes;
}
