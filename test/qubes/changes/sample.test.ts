import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { sampleOf } from '../../../dom0-agent/qubes/changes/sample.ts';

const runs = fc
  .array(fc.record({ gap: fc.nat(1000), count: fc.integer({ min: 1, max: 20_000 }) }), {
    maxLength: 30,
  })
  .map((steps) => {
    let at = 0;
    return steps.map(({ gap, count }) => {
      const first = at + gap;
      at = first + count;
      return { first, count };
    });
  });

describe('the sample of unchanged chunks', () => {
  it('consists of 0.5 % of them, at least 16 and at most 512, in ascending order', () => {
    fc.assert(
      fc.property(runs, (unchanged) => {
        const total = unchanged.reduce((sum, { count }) => sum + count, 0);
        const sample = sampleOf(unchanged);
        const expected = Math.min(512, Math.max(16, Math.ceil(total * 0.005)));
        expect(sample).toHaveLength(Math.min(total, expected));
        for (const [i, chunk] of sample.entries()) {
          if (i > 0) expect(chunk).toBeGreaterThan(sample[i - 1] ?? NaN);
          const isIn = unchanged.some(
            ({ first, count }) => chunk >= first && chunk < first + count,
          );
          expect(isIn).toBe(true);
        }
      }),
    );
  });

  it.each([
    { chunks: 3_200, wrong: 32, promised: 0.149 },
    { chunks: 16_384, wrong: 164, promised: 0.562 },
    { chunks: 102_400, wrong: 102, promised: 0.4 },
  ])(
    'contains one of $wrong wrong chunks among $chunks with the probability $promised',
    ({ chunks, wrong, promised }) => {
      // The chunks of a detector that misses some writes, evenly distributed.
      const isWrong = (chunk: number): boolean => chunk % Math.floor(chunks / wrong) === 0;
      const rounds = 2_000;
      let found = 0;
      for (let round = 0; round < rounds; round++) {
        if (sampleOf([{ first: 0, count: chunks }]).some(isWrong)) found++;
      }
      const deviation = Math.sqrt(rounds * promised * (1 - promised));
      expect(Math.abs(found - rounds * promised)).toBeLessThan(7 * deviation);
    },
  );

  it('contains each chunk with the same probability', () => {
    const unchanged = [
      { first: 10, count: 50 },
      { first: 100, count: 50 },
    ];
    const times = new Map<number, number>();
    const rounds = 20_000;
    for (let round = 0; round < rounds; round++) {
      for (const chunk of sampleOf(unchanged)) times.set(chunk, (times.get(chunk) ?? 0) + 1);
    }
    const expected = (rounds * 16) / 100;
    expect(times.size).toBe(100);
    // Seven standard deviations, which practically never happens.
    for (const count of times.values()) expect(Math.abs(count - expected)).toBeLessThan(360);
  });
});
