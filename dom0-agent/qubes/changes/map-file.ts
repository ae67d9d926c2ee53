import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';

import { FailedError, messageOf } from '../../../shared/errors.ts';
import { GiB, KiB } from '../../../shared/sizes.ts';
import type { Mapping, Mappings } from './mapping.ts';

/** The blocks of thin pools are multiples of this, in bytes. */
const UNIT = 64 * KiB;
/** In bytes. */
const LARGEST_MAP = 2 * GiB;
/** The longest number, in bytes: 2^53. */
const LONGEST_NUMBER = 8;

/**
 * Writes mappings to a new file at `path` while it passes them on. For each it writes the gap before it, its length,
 * the distance of its place from the end of the one before, all in units of 64 KiB, and its stamp. Numbers are unsigned
 * varints (LEB128); a distance d is written as 2d, or as -2d - 1 if it is negative. Throws FailedError.
 *
 * @param noted called at the end with the file's SHA-256 in hex, which `readFrom` needs
 */
export async function* writtenTo(
  path: string,
  mappings: Mappings,
  noted: (digest: string) => void,
): Mappings {
  const hash = createHash('sha256');
  const coder = new Coder();
  await using file = await open(path, 'w', 0o600).catch(failed(path));
  for await (const batch of mappings) {
    const bytes = coder.encode(batch);
    hash.update(bytes);
    await file.appendFile(bytes).catch(failed(path));
    yield batch;
  }
  await file.sync().catch(failed(path));
  noted(hash.digest('hex'));
}

/**
 * The mappings in a file. Throws FailedError if it cannot be read, or, at the end, if it does not have this SHA-256 (in
 * hex).
 */
export async function* readFrom(path: string, digest: string): Mappings {
  const { size } = await stat(path).catch(failed(path));
  if (size > LARGEST_MAP) throw new FailedError(`${path} is too large`);
  const hash = createHash('sha256');
  const coder = new Coder();
  try {
    for await (const bytes of createReadStream(path) as AsyncIterable<Buffer>) {
      hash.update(bytes);
      yield coder.decode(bytes);
    }
  } catch (error) {
    failed(path)(error);
  }
  if (hash.digest('hex') !== digest) throw new FailedError(`${path} is damaged`);
}

function failed(path: string): (error: unknown) => never {
  return (error) => {
    throw new FailedError(`${path}: ${messageOf(error)}`, { cause: error });
  };
}

/** Encodes or decodes mappings, each relative to the one before. */
class Coder {
  /** Where the last mapping ended in the volume and in the pool, in units. */
  #end = 0;
  #placeEnd = 0;
  /** The numbers of an incomplete mapping, and the value and length of an incomplete number. */
  #numbers: number[] = [];
  #number = 0;
  #bytes = 0;

  encode(batch: readonly Mapping[]): Buffer {
    const bytes: number[] = [];
    for (const { offset, length, place = 0, stamp } of batch) {
      const distance = place / UNIT - this.#placeEnd;
      const numbers = [
        offset / UNIT - this.#end,
        length / UNIT,
        distance < 0 ? -2 * distance - 1 : 2 * distance,
        stamp,
      ];
      for (const number of numbers) append(bytes, number);
      this.#end = (offset + length) / UNIT;
      this.#placeEnd = (place + length) / UNIT;
    }
    return Buffer.from(bytes);
  }

  decode(bytes: Buffer): Mapping[] {
    const batch: Mapping[] = [];
    for (const byte of bytes) {
      if (this.#bytes === LONGEST_NUMBER) throw new FailedError('a number is too long');
      this.#number += (byte & 0x7f) * 2 ** (7 * this.#bytes++);
      if (byte >= 0x80) continue;
      this.#numbers.push(this.#number);
      [this.#number, this.#bytes] = [0, 0];
      if (this.#numbers.length === 4) batch.push(this.#mapping());
    }
    return batch;
  }

  #mapping(): Mapping {
    const [gap = 0, length = 0, distance = 0, stamp = 0] = this.#numbers;
    this.#numbers = [];
    const first = this.#end + gap;
    const place = this.#placeEnd + (distance % 2 === 0 ? distance / 2 : -(distance + 1) / 2);
    this.#end = first + length;
    this.#placeEnd = place + length;
    if (place < 0 || length === 0 || this.#end > Number.MAX_SAFE_INTEGER / UNIT) {
      throw new FailedError('a mapping is not valid');
    }
    return { offset: first * UNIT, length: length * UNIT, place: place * UNIT, stamp };
  }
}

function append(bytes: number[], number: number): void {
  let rest = number;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  bytes.push(rest);
}
