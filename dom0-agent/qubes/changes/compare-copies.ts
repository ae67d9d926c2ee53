import { createHash } from 'node:crypto';

import { FailedError } from '../../../shared/errors.ts';
import type { RunForLines } from '../../../shared/run-program.ts';
import type { Extent } from '../../../shared/sparse-data.ts';
import { extentsOf } from './fiemap.ts';
import { differences, type Mapping, type Mappings } from './mapping.ts';

/** How often the comparison is tried, if the file system moves extents meanwhile. */
const MOST_TRIES = 3;

/**
 * Where two files that nobody writes to, both on the same XFS or btrfs, may differ: where their extents are not in the
 * same place. The extents of the older file are read before, during and after the comparison. Only if they are the same
 * each time has the file system not moved them meanwhile (btrfs does, when it balances). Throws FailedError if they are
 * not, or cannot be read.
 */
export async function compareCopies(
  before: string,
  after: string,
  runForLines: RunForLines,
  signal: AbortSignal,
): Promise<readonly Extent[]> {
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    signal.throwIfAborted();
    const first = await digestOf(extentsOf(before, runForLines));
    const second = new MappingDigest();
    const old = second.passing(extentsOf(before, runForLines));
    const found = await differences(old, extentsOf(after, runForLines), Infinity);
    const third = await digestOf(extentsOf(before, runForLines));
    if (first === second.hex() && first === third) return found;
  }
  throw new FailedError('the file system kept moving its blocks');
}

async function digestOf(mappings: Mappings): Promise<string> {
  const digest = new MappingDigest();
  for await (const batch of mappings) digest.add(batch);
  return digest.hex();
}

/** A SHA-256 over mappings. */
class MappingDigest {
  readonly #hash = createHash('sha256');

  add(batch: readonly Mapping[]): void {
    for (const { offset, length, place, stamp } of batch) {
      this.#hash.update(`${offset} ${length} ${place} ${stamp}\n`);
    }
  }

  /** Adds mappings while it passes them on. */
  async *passing(mappings: Mappings): Mappings {
    for await (const batch of mappings) {
      this.add(batch);
      yield batch;
    }
  }

  hex(): string {
    return this.#hash.digest('hex');
  }
}
