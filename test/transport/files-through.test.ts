import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FilesThrough } from '../../dom0-agent/transport/files-through.ts';
import { KiB } from '../../shared/sizes.ts';
import { MemoryDirectory } from '../archive/memory-directory.ts';

const BLOCK = 256 * KiB;
/** More files than the cache holds, with two blocks of each. */
const FILES = 50;
const bytes = randomBytes(20 * BLOCK);
const nameOf = (number: number): string => `file${number}`;
/** Files of up to 12 blocks, each with different bytes. */
const contents = Object.fromEntries(
  Array.from({ length: FILES }, (_, number) => {
    const start = number * 1000;
    return [nameOf(number), bytes.subarray(start, start + 1 + ((number * 61_803) % (12 * BLOCK)))];
  }),
);

function openedThrough(): FilesThrough {
  const directory = new MemoryDirectory(contents);
  return new FilesThrough({
    location: 'the directory',
    open: (name) => directory.open(name),
    read: (ranges) => directory.read(ranges),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
}

async function readFrom(
  files: FilesThrough,
  number: number,
  from: number,
  length: number,
): Promise<void> {
  const content = contents[nameOf(number)] ?? Buffer.alloc(0);
  const file = await files.open(nameOf(number));
  const chunks: Buffer[] = [];
  for await (const chunk of file.read(from, from + length)) chunks.push(chunk);
  const expected = content.subarray(from, from + length);
  expect(Buffer.concat(chunks).equals(expected), `${number}: ${from}, ${length}`).toBe(true);
}

describe('the block cache of files read through a command', () => {
  it('returns the right bytes for random reads of more files than it holds', async () => {
    const number = fc.nat(FILES - 1);
    const reads = fc.array(fc.tuple(number, fc.nat(12 * BLOCK), fc.nat(6 * BLOCK)), {
      minLength: 60,
      maxLength: 120,
    });
    await fc.assert(
      fc.asyncProperty(reads, async (all) => {
        await using files = openedThrough();
        for (const [file, from, length] of all) await readFrom(files, file, from, length);
      }),
      { numRuns: 20 },
    );
  }, 60_000);

  it('returns the right bytes if only the first block of a range is cached, as the oldest of all', async () => {
    const [long = 0] = Array.from({ length: FILES }, (_, number) => number).filter(
      (number) => (contents[nameOf(number)]?.length ?? 0) > 8 * BLOCK,
    );
    // Each other file adds up to two blocks: for some number of files, the block of the range is the next to be evicted.
    for (let others = 0; others < FILES; others++) {
      await using again = openedThrough();
      await readFrom(again, long, 0, 1);
      for (let number = 0; number < others; number++) await readFrom(again, number, 0, 1);
      await readFrom(again, long, 0, 3 * BLOCK);
    }
  }, 60_000);
});
