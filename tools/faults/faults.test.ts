import { afterAll, describe, expect, it } from 'vitest';
import { FAULTS, type Fault } from './faults.ts';
import type { Outcome } from './outcome.ts';
import { Worlds, tryOne } from './try-faults.ts';

/** `npm run faults` makes more trials, with other seeds. */
const SEED = 20_250_701;
/** How often a fault is tried, with other seeds, if coffer is always done before it strikes. */
const MOST_TRIALS = 20;

const worlds = new Worlds();
afterAll(() => worlds[Symbol.asyncDispose]());

/** Tries a fault until it comes while coffer runs. */
async function strike(fault: Fault, seed: number): Promise<Outcome> {
  for (let trial = 0; trial < MOST_TRIALS; trial++) {
    const tried = await tryOne(worlds, [fault], seed + trial);
    if (tried.struck || tried.complaints.length > 0) return tried;
  }
  throw new Error(`coffer was always quicker than this: ${fault.name}`);
}

describe('existing data is unchanged, nothing is left behind, and the next run of coffer succeeds, after the fault', () => {
  it.each(FAULTS.map((fault, i) => ({ name: fault.name, fault, seed: SEED + i * MOST_TRIALS })))(
    '$name (seed $seed)',
    async ({ fault, seed }) => {
      const { ending, what, complaints, said, ...tried } = await strike(fault, seed);
      expect(complaints, `seed ${tried.seed}, ${what}, ended with ${ending}:\n${said}`).toEqual([]);
    },
  );
});
