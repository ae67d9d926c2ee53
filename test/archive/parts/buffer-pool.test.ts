import { setImmediate } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { BufferPool } from '../../../dom0-agent/archive/parts/buffer-pool.ts';
import { MiB } from '../../../shared/sizes.ts';

const { signal } = new AbortController();

describe('the pool of buffers for parts', () => {
  test('makes a request wait until there is room', async () => {
    const pool = new BufferPool(10 * MiB, signal);
    const first = await pool.take(8 * MiB);
    let isGiven = false;
    const second = pool.take(4 * MiB).then((buffer) => {
      expect(isGiven).toBe(true);
      return buffer;
    });
    // Time for a buffer that was given too early.
    await setImmediate();
    isGiven = true;
    pool.give(first);
    expect(await second).toHaveLength(4 * MiB);
  });

  test('reuses the memory of a buffer that was given back, but not of one that was dropped', async () => {
    const pool = new BufferPool(10 * MiB, signal);
    const first = await pool.take(8 * MiB);
    pool.give(first);
    const second = await pool.take(7 * MiB);
    expect(second.buffer).toBe(first.buffer);
    pool.drop(second);
    expect((await pool.take(7 * MiB)).buffer).not.toBe(first.buffer);
  });

  test('serves a request for more than the total', async () => {
    expect(await new BufferPool(5, signal).take(10)).toHaveLength(10);
  });

  test('rejects a request that waits when it is aborted', async () => {
    const abort = new AbortController();
    const pool = new BufferPool(5, abort.signal);
    await pool.take(5);
    const waiting = pool.take(1);
    abort.abort();
    await expect(waiting).rejects.toThrow();
  });
});
