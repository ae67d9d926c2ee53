import fc from 'fast-check';
import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Semaphore } from '../../shared/semaphore.ts';

describe('a semaphore', () => {
  it('admits at most its total, in the order of requests', async () => {
    const work = fc.record({ amount: fc.integer({ min: 1, max: 5 }), turns: fc.nat(3) });
    await fc.assert(
      fc.asyncProperty(fc.array(work), fc.integer({ min: 5, max: 12 }), async (all, total) => {
        const semaphore = new Semaphore(total);
        const begun: number[] = [];
        const inTurn = all.map(async ({ amount, turns }, position) => {
          await semaphore.acquire(amount);
          begun.push(position);
          expect(semaphore.inUse).toBeLessThanOrEqual(total);
          for (let i = 0; i < turns; i++) await setImmediate();
          semaphore.release(amount);
        });
        await Promise.all(inTurn);
        expect(begun).toEqual([...all.keys()]);
        expect(semaphore.inUse).toBe(0);
      }),
    );
  });

  it('admits a request for more than its total alone', async () => {
    const semaphore = new Semaphore(5);
    await semaphore.acquire(1);
    let isThrough = false;
    const large = semaphore.acquire(10).then(() => (isThrough = true));
    await setImmediate();
    expect(isThrough).toBe(false);
    semaphore.release(1);
    await large;
    expect(semaphore.inUse).toBe(10);
  });

  it('admits the requests after one that is aborted', async () => {
    const semaphore = new Semaphore(5);
    await semaphore.acquire(3);
    const abort = new AbortController();
    const large = semaphore.acquire(4, abort.signal);
    const small = semaphore.acquire(2);
    abort.abort(new Error('no longer wanted'));
    await expect(large).rejects.toThrow('no longer wanted');
    await small;
    expect(semaphore.inUse).toBe(5);
  });

  it('is released after work that fails', async () => {
    const semaphore = new Semaphore(1);
    await expect(semaphore.run(() => Promise.reject(new Error('failed')))).rejects.toThrow(
      'failed',
    );
    expect(await semaphore.run(() => Promise.resolve('done'))).toBe('done');
  });
});
