import { readFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import {
  readSendStream,
  type StreamedChanges,
} from '../../../dom0-agent/qubes/changes/zfs-stream.ts';
import { DamagedError } from '../../../shared/errors.ts';
import { MiB } from '../../../shared/sizes.ts';
import type { Extent } from '../../../shared/sparse-data.ts';
import {
  begin,
  end,
  free,
  freeObjects,
  FROM,
  object,
  TO,
  TO_THE_END,
  write,
  writeEmbedded,
} from './zfs-records.ts';

const BLOCK = 8192;
const BLOCKS = 64;
const SIZE = BLOCKS * BLOCK;
const never = new AbortController().signal;

async function* pieces(stream: Buffer, length: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < stream.length; at += length) {
    yield await Promise.resolve(stream.subarray(at, at + length));
  }
}

const expected = { fromGuid: FROM, toGuid: TO, size: SIZE };

function read(records: readonly Buffer[], length = 1000): Promise<StreamedChanges> {
  return readSendStream(pieces(Buffer.concat(records), length), expected, never);
}

const blocks = (first: number, count: number): Extent => ({
  offset: first * BLOCK,
  length: count * BLOCK,
});
/** The beginning of a stream with changes: the volume's object, with no data after block `last`. */
const told = (last = BLOCKS): Buffer[] => [
  begin(),
  freeObjects(0n, 1n),
  object(),
  free(last * BLOCK, TO_THE_END),
];

describe('an incremental stream of a ZFS volume', () => {
  it('of OpenZFS 2.1.11 is read', async () => {
    const packed = await readFile(
      new URL('../../fixtures/zfs/changed-volume.zstream.gz', import.meta.url),
    );
    const found = await readSendStream(
      pieces(gunzipSync(packed), 4096),
      { fromGuid: 12355412678419211217n, toGuid: 2018793286887938925n, size: 2 * MiB },
      never,
    );
    const page = (first: number, end: number): Extent => {
      return { offset: first * 4096, length: (end - first) * 4096 };
    };
    expect(found).toEqual({
      changed: [
        ...[page(3, 4), page(10, 11), page(20, 23), page(50, 60), page(147, 200)],
        ...[page(201, 203), page(210, 512)],
      ],
      extents: [page(0, 20), page(23, 50), page(60, 147), page(200, 210)],
    });
  });

  it('gives the blocks that were written and freed, and the extents that may have data', async () => {
    const records = [
      ...told(60),
      write(0, BLOCK),
      write(BLOCK, BLOCK, { compressed: 512 }),
      free(4 * BLOCK, 2 * BLOCK),
      writeEmbedded(8 * BLOCK, BLOCK, 50),
      object(2n, { 28: 320 }),
      Buffer.alloc(320),
      write(0, 512, { number: 2n, type: 1 }),
      free(512, TO_THE_END, 2n),
      freeObjects(3n, 29n),
      end(),
    ];
    expect(await read(records)).toEqual({
      changed: [blocks(0, 2), blocks(4, 2), blocks(8, 1), blocks(60, 4)],
      extents: [blocks(0, 4), blocks(6, 54)],
    });
  });

  it('gives no changes if nothing has changed', async () => {
    expect(await read([begin(), freeObjects(0n, 1n), end()])).toEqual({
      changed: [],
      extents: [blocks(0, BLOCKS)],
    });
  });

  it('may free more than the volume has', async () => {
    expect(await read([...told(10), free(8 * BLOCK, 100 * BLOCK), end()])).toEqual({
      changed: [blocks(8, BLOCKS - 8)],
      extents: [blocks(0, 8)],
    });
  });

  it('is read correctly for any records, however the stream is split', async () => {
    const steps = fc.array(
      fc.record({
        gap: fc.nat(3),
        count: fc.integer({ min: 1, max: 3 }),
        kind: fc.constantFrom('write', 'compressed', 'embedded', 'free'),
      }),
      { maxLength: 20 },
    );
    await fc.assert(
      fc.asyncProperty(
        steps,
        fc.nat(BLOCKS),
        fc.integer({ min: 1, max: 40_000 }),
        async (all, last, piece) => {
          const changed = Array<boolean>(BLOCKS).fill(false).fill(true, last);
          const data = Array<boolean>(BLOCKS).fill(true).fill(false, last);
          const records = told(last);
          let at = 0;
          for (const { gap, count, kind } of all) {
            const first = at + gap;
            at = first + count;
            if (at > (kind === 'free' ? BLOCKS : last)) break;
            changed.fill(true, first, at);
            if (kind === 'free') {
              data.fill(false, first, at);
              records.push(free(first * BLOCK, count * BLOCK));
            }
            for (let block = first; block < at; block++) {
              if (kind === 'write') records.push(write(block * BLOCK, BLOCK));
              if (kind === 'compressed')
                records.push(write(block * BLOCK, BLOCK, { compressed: 1024 }));
              if (kind === 'embedded') records.push(writeEmbedded(block * BLOCK, BLOCK, 33));
            }
          }
          const found = await read([...records, end()], piece);
          expect(inBlocks(found.changed)).toEqual(changed);
          expect(inBlocks(found.extents)).toEqual(data);
        },
      ),
      { numRuns: 200 },
    );
  });

  it.each<[string, readonly Buffer[]]>([
    ['with another magic number', [begin({ 8: 0x2f5bacbadn }), end()]],
    ['of the other byte order', [begin({ 8: 0xacba_5b2f_0000_0000n }), end()]],
    ['of several snapshots', [begin({ 16: 2n }), end()]],
    ['with an unknown feature', [begin({ 16: (1n << 32n) | 1n }), end()]],
    ['that is redacted', [begin({ 16: (1n << 23n) | 1n }), end()]],
    ['that is raw', [begin({ 16: (1n << 26n) | 1n }), end()]],
    ['of a file system', [begin({ 32: 2 }), end()]],
    ['from another snapshot', [begin({ 48: FROM + 1n }), end()]],
    ['that is not incremental', [begin({ 48: 0n }), end()]],
    ['to another snapshot', [begin({ 40: TO + 1n }), end()]],
    ['with a payload at the beginning', [begin({ 4: 8 }), Buffer.alloc(8), end()]],
    ['that begins with another record', [...told().slice(1), end()]],
    ['with a second beginning', [begin(), begin(), end()]],
    ['with a record of an unknown type', [...told(), Buffer.alloc(312, 11), end()]],
    ['with an object of another type', [begin(), object(1n, { 16: 19 }), end()]],
    ['with the object of its data twice', [...told(), object(), end()]],
    ['that frees the object of its data', [begin(), freeObjects(0n, 5n), end()]],
    ['that writes before the object of its data', [begin(), write(0, BLOCK), end()]],
    ['that writes data of another type', [...told(), write(0, BLOCK, { type: 19 }), end()]],
    ['that writes a block twice', [...told(), write(0, BLOCK), write(0, BLOCK), end()]],
    ['that goes backwards', [...told(), write(BLOCK, BLOCK), free(0, BLOCK), end()]],
    [
      'with a late record of the end of the data',
      [...told().slice(0, 3), write(0, BLOCK), free(BLOCK, TO_THE_END), end()],
    ],
    ['that writes beyond the end of the data', [...told(4), write(4 * BLOCK, BLOCK), end()]],
    ['that writes beyond the volume', [...told(), write(SIZE, BLOCK), end()]],
    ['with a block that is too large', [...told(), write(0, 2 ** 25), end()]],
    ['with a block of length 0', [...told(), write(0, 0), end()]],
    ['with a record of another snapshot', [...told(), object(2n, { 40: TO + 1n }), end()]],
    ['with a raw object', [begin(), object(1n, { 36: 8 }), end()]],
    ['without an end', told()],
    ['that continues after its end', [...told(), end(), begin()]],
    ['that is empty', []],
  ])('is refused if it is one %s', async (_, records) => {
    await expect(read(records)).rejects.toThrow(DamagedError);
  });

  it('is refused if it is truncated', async () => {
    const whole = Buffer.concat([
      ...told(),
      write(0, BLOCK),
      writeEmbedded(BLOCK, BLOCK, 9),
      end(),
    ]);
    for (let length = 0; length < whole.length; length += 61) {
      await expect(read([whole.subarray(0, length)])).rejects.toThrow(DamagedError);
    }
  });

  it('with any changes is refused, or gives extents within the volume', async () => {
    const whole = Buffer.concat([
      ...[...told(60), write(0, BLOCK), free(2 * BLOCK, BLOCK), writeEmbedded(5 * BLOCK, BLOCK, 9)],
      ...[object(2n), write(0, 512, { number: 2n, type: 1 }), end()],
    ]);
    const change = fc.record({
      at: fc.nat(whole.length - 8),
      value: fc.bigInt(0n, 2n ** 64n - 1n),
    });
    const changes = fc.array(change, { minLength: 1, maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(changes, fc.boolean(), async (all, isSmall) => {
        const stream = Buffer.from(whole);
        for (const { at, value } of all) {
          stream.writeBigUInt64LE(isSmall ? value % 100_000n : value, at - (at % 8));
        }
        const found = await read([stream]).catch((error: unknown) => error);
        if (found instanceof DamagedError) return;
        const { changed, extents } = found as StreamedChanges;
        for (const list of [changed, extents]) {
          let at = 0;
          for (const { offset, length } of list) {
            expect(offset).toBeGreaterThanOrEqual(at);
            expect(length).toBeGreaterThan(0);
            at = offset + length;
          }
          expect(at).toBeLessThanOrEqual(SIZE);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('is no longer read when it is aborted', async () => {
    const records = Buffer.concat([...told(), end()]);
    const given = AbortSignal.abort(new Error('enough'));
    await expect(readSendStream(pieces(records, 100), expected, given)).rejects.toThrow('enough');
  });
});

function inBlocks(extents: readonly Extent[]): boolean[] {
  const list = Array<boolean>(BLOCKS).fill(false);
  let at = -1;
  for (const { offset, length } of extents) {
    expect(length).toBeGreaterThan(0);
    expect(offset).toBeGreaterThan(at);
    at = offset + length;
    list.fill(true, offset / BLOCK, at / BLOCK);
  }
  expect(at).toBeLessThanOrEqual(SIZE);
  return list;
}
