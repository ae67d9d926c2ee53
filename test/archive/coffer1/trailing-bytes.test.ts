import { beforeAll, describe, expect, it } from 'vitest';
import { drain } from '../../../dom0-agent/archive/drain.ts';
import { contentOf } from '../content-of.ts';
import { openArchive } from '../../../dom0-agent/archive/open-archive.ts';
import type { ByteSource } from '../../../shared/byte-streams.ts';
import { DamagedError } from '../../../shared/errors.ts';
import { MiB } from '../../../shared/sizes.ts';
import { inputOf } from '../memory.ts';
import { PASSPHRASE, makeArchive, never } from './sample.ts';

/** Archives that are followed by something: a newline, the padding of `dd conv=sync`, the rest of a device. */
let archive: Buffer;
beforeAll(async () => {
  archive = await makeArchive({ 'vm5/private.img': Buffer.alloc(30_000, 'data') });
});

/** Reads all of an archive; returns how many bytes its files had. */
async function readAll(input: ByteSource): Promise<number> {
  const reader = await openArchive(input, Buffer.from(PASSPHRASE), never);
  let files = (await reader.qubesXml()).length > 0 ? 1 : 0;
  for await (const file of reader.files((path) => path !== 'qubes.xml')) {
    await drain(contentOf(file));
    files += file.path === 'vm5/private.img' ? 1 : 10;
  }
  return files;
}

/** `archive`, followed by `length` bytes that are generated when they are read. */
function followedBy(length: number, byte: (at: number) => number, seekable: boolean): ByteSource {
  const size = archive.length + length;
  return {
    size: seekable ? size : undefined,
    seekable,
    async *read(from = 0, to = size) {
      if (from < archive.length) yield archive.subarray(from, Math.min(to, archive.length));
      for (let at = Math.max(from, archive.length); at < to; at += MiB) {
        const bytes = Buffer.alloc(Math.min(MiB, to - at));
        if (byte(at) !== 0) bytes.fill(byte(at));
        yield await Promise.resolve(bytes);
      }
    },
  };
}

describe.each([
  ['file', true],
  ['stream', false],
])('a backup in a %s', (_, seekable) => {
  it.each([1, 511, 512, 1024, 10_240, 3 * MiB + 7])(
    'may be followed by %s zeros',
    async (zeros) => {
      const padded = Buffer.concat([archive, Buffer.alloc(zeros)]);
      expect(await readAll(inputOf(padded, seekable))).toBe(2);
    },
  );

  it('may be followed by a device full of zeros, of which only some are read', async () => {
    expect(await readAll(followedBy(2 ** 42, () => 0, seekable))).toBe(2);
  });

  it.each<[string, Buffer, string]>([
    ['a newline', Buffer.from('\n'), '1 byte '],
    ['a word', Buffer.from('end of backup\r\n'), '15 bytes '],
    ['a byte after zeros', Buffer.concat([Buffer.alloc(70_000), Buffer.from([1])]), '70001 bytes '],
    ['an old file', Buffer.alloc(200_000, 'old'), '200000 bytes '],
  ])('is refused as complete but followed by other bytes: %s', async (_name, behind, count) => {
    const followed = Buffer.concat([archive, behind]);
    const refusal = readAll(inputOf(followed, seekable));
    await expect(refusal).rejects.toThrow(DamagedError);
    await expect(refusal).rejects.toThrow(`the backup is complete, but followed by ${count}`);
    await expect(refusal).rejects.toThrow(`\`head -c ${archive.length}\``);
    expect(await readAll(inputOf(followed.subarray(0, archive.length), seekable))).toBe(2);
  });

  it('is also refused so on a large device, without reading all of it', async () => {
    const refusal = readAll(followedBy(2 ** 42, () => 7, seekable));
    await expect(refusal).rejects.toThrow(
      /complete, but followed by (4398046511104|67108864) bytes/,
    );
  });

  it('is not called complete if zeros stand in place of its end', async () => {
    for (const missing of [1, 1024, 1500, 2048, 2049, archive.length / 2]) {
      const cut = archive.subarray(0, archive.length - missing);
      const refusal = readAll(inputOf(Buffer.concat([cut, Buffer.alloc(5_000_000)]), seekable));
      if (missing <= 1024) expect(await refusal).toBe(2);
      else await expect(refusal).rejects.toThrow(DamagedError);
      if (missing > 1024) await expect(refusal).rejects.not.toThrow(/is complete/);
    }
  });
});
