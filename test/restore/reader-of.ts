import type { ArchiveReader } from '../../dom0-agent/archive/archive.ts';
import { plainTar } from '../../dom0-agent/archive/tar/inner-writer.ts';

/** An intact archive of these files, each a path and a content. `hook` is called with each path before its file. */
export function readerOf(
  files: Iterable<readonly [path: string, content: string]>,
  hook: (path: string) => void = () => undefined,
): ArchiveReader {
  return {
    header: {
      ...{ format: 'coffer-1', backupId: undefined },
      ...{ encrypted: true, compressionFilter: undefined },
    },
    qubesXml: () => Promise.reject(new Error('not here')),
    async *files(wanted) {
      for (const [path, content] of files) {
        if (!wanted(path)) continue;
        hook(path);
        yield await Promise.resolve({ path, innerTar: plainTar(path, Buffer.from(content)) });
      }
    },
  };
}
