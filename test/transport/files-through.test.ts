import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FilesThrough } from '../../dom0-agent/transport/files-through.ts';
import { KiB } from '../../shared/sizes.ts';
import { MemoryDirectory } from '../archive/memory-directory.ts';

const BLOCK = 256 * KiB;
/** More than are kept, counting two blocks of each. */
const FILES = 50;
const bytes = randomBytes(20 * BLOCK);
const nameOf = (number: number): string => `file${number}`;
/** Files of up to 12 blocks, each with other bytes. */
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

describe('files that a command leads to', () => {
  it('give any bytes of any of them, in any order, whatever was kept and dropped', async () => {
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

  it('give a range of which the oldest block of all is kept, and the others are not', async () => {
    const [long = 0] = Array.from({ length: FILES }, (_, number) => number).filter(
      (number) => (contents[nameOf(number)]?.length ?? 0) > 8 * BLOCK,
    );
    // Each file leaves up to two more: at some number of them, one block of the range is the next to be dropped.
    for (let others = 0; others < FILES; others++) {
      await using again = openedThrough();
      await readFrom(again, long, 0, 1);
      for (let number = 0; number < others; number++) await readFrom(again, number, 0, 1);
      await readFrom(again, long, 0, 3 * BLOCK);
    }
  }, 60_000);
});
