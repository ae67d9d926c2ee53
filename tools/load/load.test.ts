import { describe, expect, it } from 'vitest';
import { hugeIncrement } from './huge-increment.ts';
import { manyBackups, manyParts, manyQubes, scatteredVolume } from './loads.ts';
import type { Row } from './row.ts';

const GiB = 2 ** 30;
const MiB = 2 ** 20;

/** Limits for memory, in MiB, as in the benchmarks with some tolerance, and for open descriptors. */
function requireWithinLimits(rows: readonly Row[]): void {
  for (const { memory, descriptors } of rows) {
    expect(memory).toBeLessThan(250);
    expect(descriptors).toBeLessThan(100);
  }
}

/** `npm run load` does the same with larger numbers. */
describe('under load', () => {
  it('coffer backs up and restores a huge volume with scattered data', async () => {
    requireWithinLimits(await scatteredVolume(64 * GiB, 500));
  });

  it('coffer backs up and restores many VMs', async () => {
    requireWithinLimits(await manyQubes(15));
  });

  it('coffer writes and reads an archive of many parts in less than quadratic time, without a descriptor for each', async () => {
    const [few, many] = [await manyParts(500), await manyParts(2_000)];
    for (const [i, { processorSeconds }] of many.entries()) {
      // There are four times as many parts: sixteen times the time would be quadratic.
      expect(processorSeconds).toBeLessThan(10 * (few[i]?.processorSeconds ?? 0));
    }
    for (const [i, { descriptors }] of many.entries()) {
      // A few come and go; one for each part would be thousands.
      expect(descriptors).toBeLessThan((few[i]?.descriptors ?? 0) + 5);
    }
  });

  it('coffer continues from a backup of a full volume of 128 GiB with little memory for each chunk', async () => {
    const [few, many] = [
      await hugeIncrement(2 ** 17, 2 ** 8),
      await hugeIncrement(2 ** 20, 2 ** 11),
    ];
    // 21 bytes for each additional chunk are 18 MiB; an object for each would take at least 100 MiB.
    expect(many.memory).toBeLessThan(few.memory + 80);
  });

  it('coffer makes backups in succession, and four at once, without taking more memory', async () => {
    const rows = await manyBackups(3, 8 * MiB);
    requireWithinLimits(rows);
    const [first, , last] = rows;
    expect(last?.memory).toBeLessThan((first?.memory ?? 0) * 1.3);
  });
});
