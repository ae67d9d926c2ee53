import { PassThrough } from 'node:stream';
import type { FileToArchive } from '../../../dom0-agent/archive/archive.ts';
import { plainTar } from '../../../dom0-agent/archive/tar/inner-writer.ts';
import {
  type Qubes4Options,
  writeQubes4,
} from '../../../dom0-agent/archive/qubes4/write-qubes4.ts';

export const PASSPHRASE = `motörhead's "long" one!`;
const CREATED = new Date('2026-11-23T21:45:01.500Z');

/** With cheap keys and small parts. */
export const CHEAP: Qubes4Options = {
  // A copy for each archive, because it is wiped.
  get passphrase() {
    return Buffer.from(PASSPHRASE);
  },
  compressionFilter: undefined,
  kdf: { n: 2 ** 10, r: 8, p: 1 },
  created: CREATED,
  partSize: 16_384,
};

/** An archive of a qubes.xml and these files, by path. */
export async function makeArchive(
  contents: Readonly<Record<string, Buffer | string>>,
  options: Partial<Qubes4Options> = {},
): Promise<Buffer> {
  const output = new PassThrough({ highWaterMark: 2 ** 30 });
  const write = (bytes: Buffer): Promise<void> => {
    // The writer may use the memory again as soon as this has resolved.
    output.write(Buffer.from(bytes));
    return Promise.resolve();
  };
  const signal = new AbortController().signal;
  await writeQubes4(filesOf(contents), { write }, { ...CHEAP, ...options }, signal);
  output.end();
  return Buffer.concat(await output.toArray());
}

export async function* filesOf(
  contents: Readonly<Record<string, Buffer | string>>,
): AsyncGenerator<FileToArchive> {
  for (const [path, content] of Object.entries({ 'qubes.xml': '<qubes/>', ...contents })) {
    yield await Promise.resolve({ path, innerTar: plainTar(path, Buffer.from(content)) });
  }
}
