import { mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { readFrom, writtenTo } from '../../../dom0-agent/qubes/changes/map-file.ts';
import type { Mapping, Mappings } from '../../../dom0-agent/qubes/changes/mapping.ts';
import { FailedError } from '../../../shared/errors.ts';

const UNIT = 65_536;

let directory: string;
let path: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'coffer-map-'));
  path = join(directory, 'map');
});
afterAll(() => rm(directory, { recursive: true }));

const mappings = fc
  .array(
    fc.record({
      gap: fc.nat(2 ** 20),
      length: fc.integer({ min: 1, max: 2 ** 20 }),
      place: fc.nat(2 ** 34),
      stamp: fc.nat(2 ** 31),
    }),
    { maxLength: 50 },
  )
  .map((steps) => {
    let at = 0;
    return steps.map(({ gap, length, place, stamp }): Mapping => {
      const offset = (at + gap) * UNIT;
      at += gap + length;
      return { offset, length: length * UNIT, place: place * UNIT, stamp };
    });
  });

async function* batches(all: readonly Mapping[]): Mappings {
  for (let at = 0; at < all.length; at += 7) yield await Promise.resolve(all.slice(at, at + 7));
}

async function listed(all: Mappings): Promise<Mapping[]> {
  const list: Mapping[] = [];
  for await (const batch of all) list.push(...batch);
  return list;
}

async function write(all: readonly Mapping[]): Promise<string> {
  let digest = '';
  const passed = await listed(writtenTo(path, batches(all), (hex) => (digest = hex)));
  expect(passed).toEqual(all);
  return digest;
}

describe('a file with a map', () => {
  it('gives the mappings that were written', async () => {
    await fc.assert(
      fc.asyncProperty(mappings, async (all) => {
        const digest = await write(all);
        expect(await listed(readFrom(path, digest))).toEqual(all);
      }),
    );
  });

  it('has less than 8 bytes for each of many mappings', async () => {
    const all = Array.from({ length: 100_000 }, (_, i) => ({
      ...{ offset: i * 3 * UNIT, length: UNIT * (1 + (i % 2)) },
      ...{ place: ((i * 7919) % 1_000_003) * UNIT, stamp: i % 300 },
    }));
    const digest = await write(all);
    expect((await stat(path)).size).toBeLessThan(all.length * 8);
    expect(await listed(readFrom(path, digest))).toEqual(all);
  });

  it('is refused if a byte has changed, or if it is truncated or missing', async () => {
    const all = [
      { offset: 0, length: UNIT, place: 5 * UNIT, stamp: 1 },
      { offset: 7 * UNIT, length: UNIT, place: 0, stamp: 300 },
    ];
    const digest = await write(all);
    const bytes = await readFile(path);
    for (let at = 0; at < bytes.length; at++) {
      const damaged = Buffer.from(bytes);
      damaged[at] = (damaged[at] ?? 0) ^ 1;
      await writeFile(path, damaged);
      await expect(listed(readFrom(path, digest))).rejects.toThrow(FailedError);
    }
    await writeFile(path, bytes);
    await truncate(path, bytes.length - 1);
    await expect(listed(readFrom(path, digest))).rejects.toThrow(/damaged/);
    await rm(path);
    await expect(listed(readFrom(path, digest))).rejects.toThrow(FailedError);
  });
});
