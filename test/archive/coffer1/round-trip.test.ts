import { randomBytes } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { contentOf } from '../content-of.ts';
import { openArchive } from '../../../dom0-agent/archive/open-archive.ts';
import { LONGEST_RAW } from '../../../dom0-agent/archive/coffer1/raw-frame.ts';
import type { ArchiveReader } from '../../../dom0-agent/archive/archive.ts';
import type { ByteSource } from '../../../shared/byte-streams.ts';
import { WrongPassphraseError } from '../../../shared/errors.ts';
import { inputOf } from '../memory.ts';
import { type Contents, GRAIN, PASSPHRASE, makeArchive, never } from './sample.ts';

async function read(
  reader: ArchiveReader,
  wanted: (path: string) => boolean = () => true,
): Promise<Record<string, Buffer>> {
  const found: Record<string, Buffer> = {};
  for await (const file of reader.files(wanted)) {
    if ('innerTar' in file) {
      found[file.path] = await buffer(file.innerTar);
      continue;
    }
    const bytes = Buffer.alloc(file.size);
    let end = 0;
    for await (const piece of file.pieces()) {
      expect(piece.offset).toBeGreaterThanOrEqual(end);
      piece.bytes.copy(bytes, piece.offset);
      end = piece.offset + piece.bytes.length;
    }
    expect(end).toBeLessThanOrEqual(file.size);
    found[file.path] = bytes;
  }
  return found;
}

/** Chunks of zeros (`.`) and of data. */
function withHoles(chunks: string): Buffer {
  const bytes = Array.from({ length: chunks.length }, (_, number) =>
    chunks[number] === '.' ? Buffer.alloc(GRAIN) : randomBytes(GRAIN),
  );
  return Buffer.concat(bytes);
}

const NOTHING = Buffer.alloc(0);
const contents: Contents = {
  'vm5/firewall.xml': Buffer.from('<firewall/>'),
  'vm7/empty': Buffer.alloc(0),
  // The longest that is stored in a raw frame, and a byte more.
  'vm6/notes.txt': Buffer.from('all.'.repeat(LONGEST_RAW / 4)),
  'vm6/firewall.xml': Buffer.from('all.'.repeat(LONGEST_RAW / 4) + '.'),
  'vm7/firewall.xml': Buffer.from('<firewall/>'),
  'vm5/private.img': Buffer.concat([withHoles('x..xxxxxxx..x'), randomBytes(1000)]),
  'vm6/private.img': Buffer.alloc(5 * GRAIN),
  'vm6/root.img': randomBytes(3 * GRAIN),
  'vm8/private.img': Buffer.concat([withHoles('xx'), Buffer.alloc(10)]),
  'dom0-home/home': randomBytes(700_000),
};

describe.each([
  ['without compression', undefined, true],
  ['compressed by zstd', 'zstd', true],
  ['compressed by gzip', 'gzip', true],
  ['not encrypted', 'zstd', false],
] as const)('a backup %s', (_, compressionFilter, encrypted) => {
  it.each([true, false])('can be read back (seekable: %s)', async (seekable) => {
    const backup = await makeArchive(contents, { compressionFilter, encrypted });
    const reader = await openArchive(inputOf(backup, seekable), Buffer.from(PASSPHRASE), never);
    expect(await reader.qubesXml()).toBe('<qubes/>');
    const found = await read(reader, (path) => path !== 'qubes.xml');
    for (const [path, bytes] of Object.entries(contents)) {
      expect(found[path]?.equals(bytes), path).toBe(true);
    }
    expect(Object.keys(found).sort()).toEqual(Object.keys(contents).sort());
  });

  it.each([true, false])(
    'gives only the files that are asked for (seekable: %s)',
    async (seekable) => {
      const backup = await makeArchive(contents, { compressionFilter, encrypted });
      for (const wanted of Object.keys(contents)) {
        const reader = await openArchive(inputOf(backup, seekable), Buffer.from(PASSPHRASE), never);
        await reader.qubesXml();
        const found = await read(reader, (path) => path === wanted);
        expect(Object.keys(found)).toEqual([wanted]);
        expect(found[wanted]?.equals(contents[wanted] ?? Buffer.alloc(0))).toBe(true);
      }
    },
  );
});

it('a backup is refused with another passphrase', async () => {
  const backup = await makeArchive({});
  for (const seekable of [true, false]) {
    const opened = openArchive(inputOf(backup, seekable), Buffer.from('another'), never);
    await expect(opened).rejects.toThrow(WrongPassphraseError);
  }
});

describe('a backup', () => {
  it('is read from a stream in pieces of any length', async () => {
    const backup = await makeArchive({ ...contents, 'vm6/root.img': randomBytes(9) });
    for (const chunk of [511, 4097]) {
      const input = inputOf(backup, false, chunk);
      const reader = await openArchive(input, Buffer.from(PASSPHRASE), never);
      await reader.qubesXml();
      const found = await read(reader);
      expect(found['vm5/private.img']?.equals(contents['vm5/private.img'] ?? NOTHING)).toBe(true);
    }
  });

  it('is read from a file no further than necessary', async () => {
    const backup = await makeArchive({
      'vm1/private.img': randomBytes(5_000_000),
      'vm2/private.img': Buffer.from('small'),
      'vm3/private.img': randomBytes(5_000_000),
    });
    let bytesRead = 0;
    const input = inputOf(backup, true);
    const counting: ByteSource = {
      ...input,
      async *read(from, to) {
        for await (const chunk of input.read(from, to)) {
          bytesRead += chunk.length;
          yield chunk;
        }
      },
    };
    const reader = await openArchive(counting, Buffer.from(PASSPHRASE), never);
    await reader.qubesXml();
    expect(Object.keys(await read(reader, (path) => path.startsWith('vm2/')))).toHaveLength(1);
    expect(bytesRead).toBeLessThan(1_500_000);
  });

  it.each([
    ['from a file', true],
    ['from a stream', false],
  ])('gives the next file %s, wherever its reader left the last one', async (_, seekable) => {
    for (const compressionFilter of [undefined, 'zstd'] as const) {
      const backup = await makeArchive(contents, { compressionFilter });
      for (const chunks of [0, 1, 2, 5, 9]) {
        const reader = await openArchive(inputOf(backup, seekable), Buffer.from(PASSPHRASE), never);
        await reader.qubesXml();
        const paths: string[] = [];
        for await (const file of reader.files((path) => path !== 'qubes.xml')) {
          paths.push(file.path);
          let left = chunks;
          for await (const chunk of contentOf(file)) if (chunk.length > 0 && left-- === 0) break;
        }
        expect(paths).toEqual(Object.keys(contents));
      }
    }
  });

  it('contains none of its text unencrypted', async () => {
    const text = Buffer.from('quarterly reports\n'.repeat(10_000));
    const backup = await makeArchive({ 'vm5/notes.txt': text, 'vm5/private.img': text });
    for (const telling of ['quarterly', '<qubes', 'coffer-1 part', 'coffer-1 map']) {
      expect(backup.includes(telling), telling).toBe(false);
    }
  });
});
