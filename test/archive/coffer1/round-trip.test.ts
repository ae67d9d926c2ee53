import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { ByteSource } from '../../../shared/byte-streams.ts';
import { COMPRESSION_FILTERS } from '../../../dom0-agent/archive/compress/compression.ts';
import { readSmallFile } from '../../../dom0-agent/archive/tar/read-small-file.ts';
import { openArchive } from '../../../dom0-agent/archive/open-archive.ts';
import { inputOf } from '../memory.ts';
import { PASSPHRASE, makeArchive, never } from './sample.ts';

const contents = {
  'vm5/private.img': randomBytes(30_000),
  'vm5/notes.txt': Buffer.from('quarterly reports\n'),
  'vm12/private.img': Buffer.alloc(100_000, 'compressible '),
};

async function readAll(
  input: ByteSource,
  wanted: (path: string) => boolean = () => true,
): Promise<Record<string, Buffer>> {
  const reader = await openArchive(input, Buffer.from(PASSPHRASE), never);
  const found: Record<string, Buffer> = { 'qubes.xml': Buffer.from(await reader.qubesXml()) };
  const notXml = (path: string): boolean => path !== 'qubes.xml' && wanted(path);
  for await (const { path, innerTar } of reader.files(notXml)) {
    found[path] = await readSmallFile(innerTar, path, 1e6);
  }
  return found;
}

describe('an archive that was written and read again', () => {
  it.each([
    ['from a file', true],
    ['from a stream', false],
  ])('has the same files %s, whichever filter compressed it', async (_, seekable) => {
    for (const compressionFilter of [undefined, ...COMPRESSION_FILTERS]) {
      const archive = await makeArchive(contents, { compressionFilter });
      const found = await readAll(inputOf(archive, seekable));
      expect(found).toEqual({ 'qubes.xml': Buffer.from('<qubes/>'), ...contents });
    }
  });

  it('has the same files when they are not encrypted', async () => {
    const archive = await makeArchive(contents, { encrypted: false });
    expect(archive.includes('quarterly reports')).toBe(true);
    expect(await readAll(inputOf(archive, true))).toMatchObject(contents);
    expect(await readAll(inputOf(archive, false))).toMatchObject(contents);
  });

  it('comes in pieces of any length', async () => {
    const archive = await makeArchive(contents);
    for (const chunk of [1, 511, 4097]) {
      expect(await readAll(inputOf(archive, false, chunk))).toMatchObject(contents);
    }
  });

  it('gives the files that are asked for, and reads no others from a file', async () => {
    const archive = await makeArchive({
      'vm1/private.img': randomBytes(5_000_000),
      'vm2/private.img': Buffer.from('small'),
      'vm3/private.img': randomBytes(5_000_000),
    });
    let bytesRead = 0;
    const input = inputOf(archive, true);
    const counting: ByteSource = {
      ...input,
      async *read(from, to) {
        for await (const chunk of input.read(from, to)) {
          bytesRead += chunk.length;
          yield chunk;
        }
      },
    };
    const found = await readAll(counting, (path) => path.startsWith('vm2/'));
    expect(Object.keys(found)).toEqual(['qubes.xml', 'vm2/private.img']);
    expect(bytesRead).toBeLessThan(1_500_000);
  });

  it('can be read in part from a stream, too', async () => {
    const archive = await makeArchive(contents);
    const found = await readAll(inputOf(archive, false), (path) => path === 'vm12/private.img');
    expect(found['vm12/private.img']).toEqual(contents['vm12/private.img']);
    expect(found['vm5/private.img']).toBeUndefined();
  });

  it.each([
    ['from a file', true],
    ['from a stream', false],
  ])('goes on with the next file %s, wherever one is left', async (_, seekable) => {
    for (const compressionFilter of [undefined, 'zstd'] as const) {
      const archive = await makeArchive(contents, { compressionFilter });
      for (const chunks of [0, 1, 2, 5, 9]) {
        const reader = await openArchive(
          inputOf(archive, seekable),
          Buffer.from(PASSPHRASE),
          never,
        );
        await reader.qubesXml();
        const paths: string[] = [];
        for await (const { path, innerTar } of reader.files((path) => path.startsWith('vm'))) {
          paths.push(path);
          let left = chunks;
          for await (const chunk of innerTar) if (chunk.length > 0 && left-- === 0) break;
        }
        expect(paths).toEqual(Object.keys(contents));
      }
    }
  });

  it('tells nothing of its contents outside of its names', async () => {
    const archive = await makeArchive(contents);
    for (const telling of ['quarterly', 'compressible', '<qubes']) {
      expect(archive.includes(telling)).toBe(false);
    }
  });
});
