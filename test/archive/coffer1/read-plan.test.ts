import fc from 'fast-check';
import { expect, it } from 'vitest';
import { hasBit } from '../../../dom0-agent/archive/coffer1/chunk-mask.ts';
import { ReadPlan } from '../../../dom0-agent/archive/coffer1/read-plan.ts';
import { Runs } from '../../../dom0-agent/archive/coffer1/runs.ts';

const PARTS = 12;
const ROOMS = [0, 1, 5, 40, 1_000];

/** Runs in ascending order, in any parts. */
const runsOf = fc
  .array(fc.record({ part: fc.nat(PARTS - 1), offset: fc.nat(31), gap: fc.boolean() }), {
    maxLength: 120,
  })
  .map((places) => {
    const runs = new Runs();
    let first = 0;
    for (const { part, offset, gap } of places) {
      first += gap ? 2 : 1;
      runs.add({ first, count: 1, backup: 0, part, offset });
    }
    return runs;
  });

/** How often each part is read. Checks that each chunk is available when its turn comes, and that no more chunks are kept than there is room for. */
function readingsOf(runs: Runs, room: number): number[] {
  const plan = new ReadPlan(runs, PARTS, ({ part }) => part, room);
  const readings = Array<number>(PARTS).fill(0);
  const kept = new Map<number, number>();
  const visited = [];
  for (const { part, runs: some, isRead, kept: chunks, dropped } of plan.steps()) {
    if (isRead) readings[part] = (readings[part] ?? 0) + 1;
    for (const run of some) {
      expect(run.part).toBe(part);
      for (let i = 0; i < run.count && !isRead; i++) {
        expect(hasBit(kept.get(part) ?? 0, run.offset + i)).toBe(true);
      }
      visited.push(run);
    }
    kept.delete(part);
    for (const each of dropped) kept.delete(each);
    if (chunks !== 0) kept.set(part, chunks);
    const count = [...kept.values()].reduce((sum, bits) => sum + countOf(bits), 0);
    expect(count).toBeLessThanOrEqual(room);
  }
  expect(visited).toEqual([...runs]);
  return readings;
}

function countOf(bits: number): number {
  return Array.from({ length: 32 }, (_, i) => i).filter((i) => hasBit(bits, i)).length;
}

it('a volume is read in ascending order, and with more room, no part is read more often', () => {
  fc.assert(
    fc.property(runsOf, (runs) => {
      const totals = ROOMS.map((room) => readingsOf(runs, room).reduce((a, b) => a + b, 0));
      expect(totals).toEqual(totals.toSorted((one, other) => other - one));
      const needed = new Set([...runs].map(({ part }) => part)).size;
      expect(totals.at(-1)).toBe(needed);
    }),
  );
});

it('when room is short, the chunks that are needed last are dropped first', () => {
  const runs = new Runs();
  const order = [0, 1, 2, 0, 1, 0, 1, 2];
  order.forEach((part, first) => runs.add({ first, count: 1, backup: 0, part, offset: first }));
  // With room for the chunks of two parts, the third is read twice, and the others once.
  expect(readingsOf(runs, 4).slice(0, 3)).toEqual([1, 1, 2]);
});
