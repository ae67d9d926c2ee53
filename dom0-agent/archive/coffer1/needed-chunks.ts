import { ByPart } from './by-part.ts';
import { bits } from './chunk-mask.ts';
import type { VolumeMap } from './volume-map.ts';

/** The chunks that maps refer to: a mask of 32 bits for each part, the lowest for its first chunk. */
export class NeededChunks {
  readonly #masks = new ByPart();

  /** Adds everything that a map refers to. */
  add({ backups, runs }: Pick<VolumeMap, 'backups' | 'runs'>): void {
    for (const { backup, part, offset, count } of runs) {
      const bornIn = backups[backup] ?? '';
      this.#masks.set(bornIn, part, this.of(bornIn, part) | bits(offset, count));
    }
  }

  /** The chunks of a part that are needed, as a mask. */
  of(bornIn: string, part: number): number {
    return this.#masks.get(bornIn, part);
  }

  /** All parts with needed chunks. */
  *parts(): Generator<{ bornIn: string; part: number; mask: number }, void, undefined> {
    for (const { bornIn, part, number } of this.#masks.entries()) {
      yield { bornIn, part, mask: number };
    }
  }
}
