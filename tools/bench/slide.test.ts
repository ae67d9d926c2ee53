import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { backupJob, otherJob, readingJob } from './jobs.ts';
import { measure } from './measure.ts';
import { NO_KDF, limitBackup, limitRestore } from './pipelines.ts';
import { processorTime } from './processor-time.ts';
import type { Job } from './row.ts';
import { CHEAP_KEYS, World } from './world.ts';

/** A slowdown by more than this factor fails. */
const SLIDE = 5 / 4;
/** How many pairs are run at most. Noise only adds to a time, so the smallest of several has hardly any. */
const MOST_PAIRS = 8;

/**
 * coffer's processor time relative to the pipeline's, when this was written. It includes starting Node.js twice, which
 * matters with only 128 MiB, and three more hashes of everything: for the ids of chunks, and on both sides of the
 * channel to the storage VM.
 */
const USUAL = { backup: 1.7, restore: 2.1, verify: 0.9 };

/**
 * The ratio of the smallest times of both jobs, which are run in turn until it is at most `most`, or MOST_PAIRS times.
 * It is measured in processor time, which is meaningful even on a busy machine.
 */
async function ratio(first: Job, second: Job, most: number): Promise<number> {
  const least = { first: Infinity, second: Infinity };
  for (let pair = 0; pair < MOST_PAIRS; pair++) {
    least.first = Math.min(least.first, await timeOf(first));
    least.second = Math.min(least.second, await timeOf(second));
    if (least.first <= least.second * most) break;
  }
  return least.first / least.second;
}

async function timeOf({ command, before, after }: Job): Promise<number> {
  await before?.();
  const time = processorTime(command);
  await after?.();
  return time;
}

describe('the processor time of coffer, with cheap keys, on 128 MiB of files,', () => {
  let world: World;
  let backup: string;
  let image: string;

  beforeAll(async () => {
    world = await World.make();
    image = await world.image('short');
    backup = await world.backup('short', { short: 'short' }, CHEAP_KEYS);
  });
  afterAll(() => world[Symbol.asyncDispose]());

  it('grows by at most a quarter for backup, relative to the pipeline', async () => {
    const to = world.place('limit');
    const limit = otherJob('limit', limitBackup(image, to, NO_KDF), [to]);
    const job = await backupJob(world, 'short', { short: 'short' }, CHEAP_KEYS);
    const most = USUAL.backup * SLIDE;
    expect(await ratio(job, limit, most)).toBeLessThanOrEqual(most);
  });

  it('grows by at most a quarter for restore, relative to the pipeline', async () => {
    const from = world.place('limit-to-restore');
    await measure(limitBackup(image, from, NO_KDF));
    const to = world.place('limit-restored');
    const limit = otherJob('limit', limitRestore(from, to, NO_KDF), [to]);
    const most = USUAL.restore * SLIDE;
    expect(await ratio(readingJob(world, backup, 'restore'), limit, most)).toBeLessThanOrEqual(
      most,
    );
  });

  it('grows by at most a quarter for verify, relative to restore', async () => {
    const most = USUAL.verify * SLIDE;
    const verify = readingJob(world, backup, 'verify');
    const restore = readingJob(world, backup, 'restore');
    expect(await ratio(verify, restore, most)).toBeLessThanOrEqual(most);
  });
});
