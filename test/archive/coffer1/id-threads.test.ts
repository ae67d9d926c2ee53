import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { ChunkIds, ID_LENGTH } from '../../../dom0-agent/archive/coffer1/chunk-ids.ts';
import { IdThreads } from '../../../dom0-agent/archive/coffer1/id-threads.ts';
import { newSeriesKey } from '../../../dom0-agent/archive/coffer1/series-key.ts';

const GRAIN = 65536;
const START = 4096;

/** A buffer with room for a text and chunks after it, and what their ids must be. */
function sample(ids: ChunkIds, count: number): { buffer: Buffer; expected: Buffer } {
  const buffer = Buffer.allocUnsafeSlow(START + count * GRAIN);
  randomBytes(buffer.length).copy(buffer);
  const expected = Array.from({ length: count }, (_, i) =>
    ids.idOf(buffer.subarray(START + i * GRAIN, START + (i + 1) * GRAIN)),
  );
  return { buffer, expected: Buffer.concat(expected) };
}

describe('threads that compute ids', () => {
  it('give the ids of docs/archive-format.md and return the bytes unchanged, for many buffers at once', async () => {
    const ids = new ChunkIds(newSeriesKey(), 'roots');
    await using threads = new IdThreads(3, 5 * GRAIN);
    const samples = Array.from({ length: 9 }, (_, i) => sample(ids, (i % 5) + 2));
    const copies = samples.map(({ buffer }) => Buffer.from(buffer));
    const found = await Promise.all(
      samples.map(({ buffer, expected }) =>
        threads.idsOf(ids.key, {
          ...{ buffer, start: START, count: expected.length / ID_LENGTH, grain: GRAIN },
        }),
      ),
    );
    for (const [i, { ids: computed, buffer }] of found.entries()) {
      expect(computed.equals(samples[i]?.expected ?? Buffer.alloc(0)), String(i)).toBe(true);
      expect(buffer.equals(copies[i] ?? Buffer.alloc(0)), String(i)).toBe(true);
    }
  });

  it('accept a view of a larger buffer', async () => {
    const ids = new ChunkIds(newSeriesKey(), 'roots');
    await using threads = new IdThreads(1, 0);
    const { buffer, expected } = sample(ids, 4);
    const part = buffer.subarray(GRAIN, START + 3 * GRAIN);
    const { length } = part;
    const chunks = { buffer: part, start: START, count: 2, grain: GRAIN };
    const found = await threads.idsOf(ids.key, chunks);
    expect(found.ids.equals(expected.subarray(ID_LENGTH, 3 * ID_LENGTH))).toBe(true);
    expect(found.buffer).toHaveLength(length);
  });

  it('end when they are disposed of, even while they are computing', async () => {
    const ids = new ChunkIds(newSeriesKey(), 'roots');
    const threads = new IdThreads(2, 0);
    const asked = Array.from({ length: 6 }, () => {
      const { buffer } = sample(ids, 4);
      return threads.idsOf(ids.key, { buffer, start: START, count: 4, grain: GRAIN });
    });
    const settled = Promise.allSettled(asked);
    await threads[Symbol.asyncDispose]();
    expect(await settled).toHaveLength(6);
  });
});
