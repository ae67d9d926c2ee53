import type { Content } from '../../dom0-agent/archive/content.ts';
import {
  type Coffer1Options,
  writeCoffer1,
} from '../../dom0-agent/archive/coffer1/write-coffer1.ts';
import { KiB } from '../../shared/sizes.ts';
import { type SampleOptions, sampleFile, volumeOf } from '../archive/coffer1/sample.ts';

/** A passphrase with non-ASCII letters, quotes, and other characters that shells interpret. */
export const PASSPHRASE = `corréct  'horse' "battery" $HOME \\n %s !staple;*`;

/** The parts of a qubes.xml that recover.sh needs: the VM `work` in the directory vm5, and dom0. */
export const QUBES_XML_TEXT = `<?xml version="1.0" encoding="utf-8"?>
<qubes><domains>
  <domain id="domain-0" class="AdminVM"><features>
    <feature name="backup-path">dom0-home/home</feature>
    <feature name="backup-created">2026-11-23T19:42:01Z</feature>
  </features></domain>
  <domain id="domain-5" class="AppVM"><properties>
    <property name="qid">5</property>
    <property name="name">work</property>
  </properties><features><feature name="backup-path">vm5/</feature></features></domain>
</domains></qubes>
`;

/** A small file, or a volume, depending on its name. */
export function smallFile(path: string, content: string | Buffer): Content {
  const bytes = Buffer.from(content);
  return path.endsWith('.img') ? volumeOf(path, bytes) : { kind: 'file', path, bytes };
}

export function qubesXml(): Content {
  return smallFile('qubes.xml', QUBES_XML_TEXT);
}

const ORDER = { file: 0, volume: 1, tree: 2 };

/** A coffer-1 backup by coffer's own writer, of qubes.xml and `files`, sorted as the format requires. */
export async function coffer1Backup(
  files: readonly Content[],
  { passphrase, ...options }: SampleOptions = {},
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const write = (bytes: Buffer): Promise<void> => {
    chunks.push(Buffer.from(bytes));
    return Promise.resolve();
  };
  async function* all(): AsyncGenerator<Content, void, undefined> {
    await Promise.resolve();
    yield* [qubesXml(), ...files.toSorted((a, b) => ORDER[a.kind] - ORDER[b.kind])];
  }
  const defaults: Coffer1Options = {
    ...sampleFile(passphrase ?? Buffer.from(PASSPHRASE)),
    encrypted: true,
    compressionFilter: 'zstd',
    cut: { grain: 64 * KiB, partSize: 64 * KiB },
    created: new Date('2026-11-23T19:42:01Z'),
  };
  await writeCoffer1(all(), { write }, { ...defaults, ...options }, new AbortController().signal);
  return Buffer.concat(chunks);
}
