import { describe, expect, it } from 'vitest';
import { tryFaults } from './series.ts';

/** `npm run faults` tries more, and others. */
const COUNT = 12;
const SEED = 20_250_701;

describe('after a fault', () => {
  it(
    'nothing is changed, nothing is left half done, and it works again',
    { timeout: 600_000 },
    async () => {
      const wrong: string[] = [];
      for await (const { seed, fault, job, kind, ending, complaints, said } of tryFaults(
        COUNT,
        SEED,
      )) {
        const what = `seed ${seed}: ${fault.name} during a ${job}, ${kind} system, ended with ${ending}`;
        wrong.push(...complaints.map((complaint) => `${what}: ${complaint}\n${said}`));
      }
      expect(wrong).toEqual([]);
    },
  );
});
