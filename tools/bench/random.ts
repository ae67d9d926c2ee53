import { createCipheriv, createHash } from 'node:crypto';
import { KiB } from '../../shared/sizes.ts';

const SLICE = 64 * KiB;
const WORDS = 4096;
const LONGEST_WORD = 10;

/** `length` bytes that cannot be compressed; the same for the same seed. */
export function* incompressible(seed: string, length: number): Generator<Buffer, void> {
  const key = createHash('sha256').update(seed).digest();
  const stream = createCipheriv('aes-256-ctr', key, Buffer.alloc(16));
  const zeros = Buffer.alloc(SLICE);
  for (let left = length; left > 0; left -= SLICE) {
    yield stream.update(zeros.subarray(0, Math.min(left, SLICE)));
  }
}

/**
 * `length` bytes of words, few of which are frequent and many rare. zstd -3 compresses them to about a third. They are
 * the same for the same seed, and different for different seeds.
 */
export function* text(seed: string, length: number): Generator<Buffer, void> {
  const random = incompressible(seed, Infinity);
  let dice: Buffer = Buffer.alloc(0);
  let thrown = 0;
  for (let left = length; left > 0; left -= SLICE) {
    const slice = Buffer.allocUnsafe(Math.min(left, SLICE));
    for (let filled = 0; filled < slice.length;) {
      if (thrown + 2 > dice.length) {
        dice = random.next().value ?? dice;
        thrown = 0;
      }
      // The product of two uniform numbers: small ones are more frequent.
      const rank = (dice.readUInt8(thrown) + 1) * (dice.readUInt8(thrown + 1) + 1);
      thrown += 2;
      filled += VOCABULARY[rank >> 4]?.copy(slice, filled) ?? slice.length;
    }
    yield slice;
  }
}

/** Words of lower-case letters, each followed by a space. */
const VOCABULARY = vocabulary();

function vocabulary(): Buffer[] {
  const [letters = Buffer.alloc(0)] = incompressible('vocabulary', WORDS * LONGEST_WORD);
  return Array.from({ length: WORDS + 1 }, (_, i) => {
    const at = i * LONGEST_WORD;
    const word = letters.subarray(at, at + 2 + (i % (LONGEST_WORD - 2)));
    return Buffer.from([...word].map((byte) => 0x61 + (byte % 26)).concat(0x20));
  });
}
