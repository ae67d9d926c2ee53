import { describe, expect, it } from 'vitest';
import { attack } from './campaign.ts';
import { regressionsOf } from './regressions.ts';
import { tryInput } from './target.ts';
import { TARGETS } from './targets.ts';

/** A short attack on every parser, always with the same inputs; for more: npm run fuzz -- --minutes N */
const INPUTS = 1000;
const SEED = 20_250_701;

describe.each(TARGETS)('$name', (target) => {
  it('accepts valid inputs', async () => {
    for (const input of target.seeds()) expect(await tryInput(target, input)).toBe('accepted');
  });

  it('meets its requirements for every input that once violated one', async () => {
    for (const input of regressionsOf(target.name)) await tryInput(target, input);
  });

  it(`meets its requirements for ${INPUTS} damaged inputs (seed ${SEED})`, async () => {
    const { executions, accepted, failure } = await attack(target, { inputs: INPUTS }, SEED);
    expect(
      failure?.message,
      `the input: ${failure?.input.toString('base64') ?? ''}`,
    ).toBeUndefined();
    // Some of the inputs must have been refused.
    expect(accepted).toBeLessThan(executions);
  });
});

describe('the fuzzer', () => {
  it('finds an input that makes a parser throw an unexpected error', async () => {
    const [target] = TARGETS;
    if (target === undefined) throw new Error('there is no target');
    const careless = {
      ...target,
      run: (input: Buffer) => {
        if (input.includes(0x7b)) throw new RangeError('out of bounds');
      },
    };
    const { failure } = await attack(careless, { inputs: 10_000 }, 1);
    expect(failure?.message).toContain('out of bounds');
  });
});
