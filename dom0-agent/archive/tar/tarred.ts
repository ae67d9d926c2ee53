import type { FileToArchive } from '../archive.ts';
import type { Content } from '../content.ts';
import { plainTar, sparseTar } from './inner-writer.ts';

/** The contents of a backup as inner tars, for format 4. */
export async function* tarred(
  contents: AsyncIterable<Content>,
): AsyncGenerator<FileToArchive, void, undefined> {
  for await (const content of contents) yield { path: content.path, innerTar: tarOf(content) };
}

function tarOf(content: Content): AsyncIterable<Buffer> {
  switch (content.kind) {
    case 'file':
      return plainTar(content.path, content.bytes);
    case 'volume':
      return sparseTar(content.path, content.size, content.extents, content.read);
    case 'tree':
      return content.tar;
  }
}
