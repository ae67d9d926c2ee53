import { afterAll, describe, expect, it } from 'vitest';
import type { Outcome } from '../outcome.ts';
import { KILLED_COMMANDS } from './kills.ts';
import { LIES } from './lies.ts';
import { SeriesTrials } from './series-trials.ts';

/** `npm run faults` makes more trials, with other seeds. */
const SEED = 20_261_125;

const trials = new SeriesTrials(SEED, false);
afterAll(() => trials[Symbol.asyncDispose]());

function expectRight({ seed, what, ending, complaints, said }: Outcome): void {
  expect(complaints, `seed ${seed}, ${what}, ended with ${ending}:\n${said}`).toEqual([]);
}

describe('all backups of a series can be restored, and the series can be continued, after', () => {
  it.each(KILLED_COMMANDS.filter(({ name }) => !name.includes('--')))(
    'coffer $name was killed',
    async (command) => {
      expectRight(await trials.kill(SEED, [command]));
    },
  );

  it('dom0 lost its records of the series', async () => {
    expectRight(await trials.loseState(SEED));
  });
});

describe('a restore yields only what was backed up, verify reports the damage, and the next backup is complete, if the storage', () => {
  it.each(LIES)('$name', async (lie) => {
    expectRight(await trials.lie(SEED, [lie]));
  });
});
