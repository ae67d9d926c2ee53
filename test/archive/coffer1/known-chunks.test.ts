import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { ID_LENGTH } from '../../../dom0-agent/archive/coffer1/chunk-ids.ts';
import { KnownChunks } from '../../../dom0-agent/archive/coffer1/known-chunks.ts';

const BORN_IN = '0'.repeat(32);

function idsOf(count: number): Buffer {
  return randomBytes(count * ID_LENGTH);
}

describe('the known ids of consecutive chunks of a part', () => {
  it('are not given if the part was trimmed and lacks one of the chunks', () => {
    const known = new KnownChunks();
    const ids = idsOf(3);
    known.addPart(BORN_IN, 0, ids, 0b1011);
    const at = (offset: number, count: number): Buffer | undefined =>
      known.idsAt({ backupId: BORN_IN, part: 0, offset }, count);
    expect(at(0, 2)).toEqual(ids.subarray(0, 2 * ID_LENGTH));
    expect(at(3, 1)).toEqual(ids.subarray(2 * ID_LENGTH));
    expect(at(0, 4)).toBeUndefined();
    expect(at(2, 1)).toBeUndefined();
    expect(at(3, 2)).toBeUndefined();
  });

  it('are given for each of thousands of parts', () => {
    const known = new KnownChunks();
    const parts = Array.from({ length: 4500 }, (_, part) => idsOf(part % 2 === 0 ? 32 : 31));
    for (const [part, ids] of parts.entries()) known.addPart(BORN_IN, part, ids);
    for (const [part, ids] of parts.entries()) {
      const place = { backupId: BORN_IN, part, offset: 0 };
      expect(known.idsAt(place, ids.length / ID_LENGTH)?.equals(ids), `part ${part}`).toBe(true);
    }
  });
});
