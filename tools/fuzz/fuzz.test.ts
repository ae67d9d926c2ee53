import { describe, expect, it } from 'vitest';
import { attack } from './campaign.ts';
import { regressionsOf } from './regressions.ts';
import { tryInput } from './target.ts';
import { TARGETS } from './targets.ts';

/** A short attack on every parser; a long one: npm run fuzz -- --minutes N */
const MILLISECONDS = 800;
const seed = Date.now() % 2 ** 31;

describe.each(TARGETS)('$name', (target) => {
  it('takes what it should', async () => {
    for (const input of target.seeds()) expect(await tryInput(target, input)).toBe('accepted');
  });

  it('keeps its promises with all that was ever found', async () => {
    for (const input of regressionsOf(target.name)) await tryInput(target, input);
  });

  it(`keeps them with new inputs (seed ${seed})`, async () => {
    const { executions, accepted, failure } = await attack(target, MILLISECONDS, seed);
    expect(
      failure?.message,
      `the input: ${failure?.input.toString('base64') ?? ''}`,
    ).toBeUndefined();
    expect(executions).toBeGreaterThan(50);
    // Neither all nothing but noise, nor all harmless.
    expect(accepted).toBeLessThan(executions);
  });
});

describe('the fuzzer', () => {
  it('finds a parser that is not careful', async () => {
    const [target] = TARGETS;
    if (target === undefined) throw new Error('there is no target');
    const careless = {
      ...target,
      run: (input: Buffer) => {
        if (input.includes(0x7b)) throw new RangeError('out of bounds');
      },
    };
    const { failure } = await attack(careless, 5_000, 1);
    expect(failure?.message).toContain('out of bounds');
  });
});
