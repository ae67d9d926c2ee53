import { bits } from './chunk-mask.ts';
import type { VolumeMap } from './volume-map.ts';

/** Which chunks of which parts maps refer to: 32 bits for each part, the lowest for its first chunk. */
export class NeededChunks {
  /** By the file that parts were born in: of each part, by its number. */
  readonly #parts = new Map<string, Uint32Array>();

  /** Adds all that a map refers to. */
  add({ backups, runs }: Pick<VolumeMap, 'backups' | 'runs'>): void {
    for (const { backup, part, offset, count } of runs) {
      const masks = this.#room(backups[backup] ?? '', part);
      masks[part] = (masks[part] ?? 0) | bits(offset, count);
    }
  }

  /** The chunks of a part that are referred to, as 32 bits. */
  of(bornIn: string, part: number): number {
    return (this.#parts.get(bornIn)?.[part] ?? 0) >>> 0;
  }

  /** All parts of which anything is referred to, and which of their chunks. */
  *parts(): Generator<{ bornIn: string; part: number; mask: number }, void, undefined> {
    for (const [bornIn, masks] of this.#parts) {
      for (const [part, mask] of masks.entries()) if (mask !== 0) yield { bornIn, part, mask };
    }
  }

  #room(bornIn: string, part: number): Uint32Array {
    const masks = this.#parts.get(bornIn) ?? new Uint32Array(64);
    if (part < masks.length && this.#parts.has(bornIn)) return masks;
    let length = masks.length;
    while (part >= length) length *= 2;
    const larger = new Uint32Array(length);
    larger.set(masks);
    this.#parts.set(bornIn, larger);
    return larger;
  }
}
