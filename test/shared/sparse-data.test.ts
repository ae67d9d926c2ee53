import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dataWithin } from '../../shared/sparse-data.ts';

/** Lengths of holes and extents, alternating. */
const lengths = fc.array(fc.nat({ max: 5 }), { maxLength: 20 });

describe('the data within ranges', () => {
  it('is counted from the extents', () => {
    fc.assert(
      fc.property(lengths, lengths, (volume, cuts) => {
        const isData = volume.flatMap((length, i) => Array<boolean>(length).fill(i % 2 === 1));
        let end = 0;
        const extents = volume.flatMap((length, i) => {
          const offset = end;
          end += length;
          return i % 2 === 1 ? [{ offset, length }] : [];
        });
        const dataIn = dataWithin(extents);
        let offset = 0;
        for (const [i, length] of cuts.entries()) {
          // Some ranges are skipped.
          if (i % 3 !== 2) {
            const expected = isData.slice(offset, offset + length).filter(Boolean).length;
            expect(dataIn(offset, length)).toBe(expected);
          }
          offset += length;
        }
      }),
    );
  });
});
