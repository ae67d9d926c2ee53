import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import {
  differences,
  type Mapping,
  type Mappings,
} from '../../../dom0-agent/qubes/changes/mapping.ts';

const SIZE = 64;

/** Ascending, disjoint mappings below `SIZE`, some of which continue each other. */
const mappings = fc
  .array(
    fc.record({
      gap: fc.nat(3),
      length: fc.integer({ min: 1, max: 6 }),
      place: fc.option(fc.nat(20), { nil: undefined }),
      stamp: fc.nat(1),
    }),
    { maxLength: 20 },
  )
  .map((steps) => {
    const made: Mapping[] = [];
    let at = 0;
    for (const { gap, length, place, stamp } of steps) {
      at += gap;
      if (at + length > SIZE) break;
      made.push({ offset: at, length, place, stamp });
      at += length;
    }
    return made;
  });

/** In batches of this length, and empty ones between them. */
async function* batches(all: readonly Mapping[], length: number): Mappings {
  yield [];
  for (let at = 0; at < all.length; at += length) {
    yield await Promise.resolve(all.slice(at, at + length));
    yield [];
  }
}

/** The place of each byte: undefined if it is not known, `zeros` if the byte is in no mapping. */
function placesOf(all: readonly Mapping[]): (string | undefined)[] {
  const places: (string | undefined)[] = Array<string>(SIZE).fill('zeros');
  for (const { offset, length, place, stamp } of all) {
    for (let i = 0; i < length; i++) {
      places[offset + i] = place === undefined ? undefined : `${place + i} ${stamp}`;
    }
  }
  return places;
}

describe('the differences between two mappings', () => {
  it('are exactly the bytes whose place has changed or is not known', async () => {
    await fc.assert(
      fc.asyncProperty(mappings, mappings, fc.integer({ min: 1, max: 5 }), async (a, b, length) => {
        const found = await differences(batches(a, length), batches(b, length), SIZE);
        const [before, after] = [placesOf(a), placesOf(b)];
        const expected = before.map((place, i) => place === undefined || place !== after[i]);
        const marked = Array<boolean>(SIZE).fill(false);
        for (const range of found) marked.fill(true, range.offset, range.offset + range.length);
        expect(marked).toEqual(expected);
        for (const [i, { offset }] of found.entries()) {
          const last = found[i - 1];
          if (last !== undefined) expect(offset).toBeGreaterThan(last.offset + last.length);
        }
      }),
    );
  });

  it('end at the size', async () => {
    await fc.assert(
      fc.asyncProperty(mappings, mappings, fc.nat(SIZE), async (a, b, size) => {
        const all = await differences(batches(a, 3), batches(b, 3), Infinity);
        const below = await differences(batches(a, 3), batches(b, 3), size);
        const clipped = all
          .map(({ offset, length }) => ({ offset, length: Math.min(length, size - offset) }))
          .filter(({ length }) => length > 0);
        expect(below).toEqual(clipped);
      }),
    );
  });

  it('end the reading of both mappings if one fails', async () => {
    let ended = false;
    async function* endless(): Mappings {
      try {
        for (let offset = 0; ; offset += 2) {
          yield await Promise.resolve([{ offset, length: 1, place: 0, stamp: 0 }]);
        }
      } finally {
        ended = true;
      }
    }
    async function* failing(): Mappings {
      yield await Promise.resolve([{ offset: 0, length: 1, place: 0, stamp: 0 }]);
      throw new Error('no more');
    }
    await expect(differences(endless(), failing(), Infinity)).rejects.toThrow('no more');
    expect(ended).toBe(true);
  });
});
