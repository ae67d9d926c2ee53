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

describe('a series of backups stays whole, and goes on, when', () => {
  it.each(KILLED_COMMANDS.filter(({ name }) => !name.includes('--')))(
    'coffer $name is killed',
    async (command) => {
      expectRight(await trials.kill(SEED, [command]));
    },
  );

  it('dom0 loses what it knew of it', async () => {
    expectRight(await trials.loseState(SEED));
  });
});

describe('nothing but what was backed up is restored, and the next backup is whole, when the storage', () => {
  it.each(LIES)('$name', async (lie) => {
    expectRight(await trials.lie(SEED, [lie]));
  });
});
