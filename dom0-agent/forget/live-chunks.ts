import type { VolumeMap } from '../archive/coffer1/volume-map.ts';

/** Which chunks of which parts maps refer to: 32 bits for each part, the lowest for its first chunk. */
export class LiveChunks {
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

  /** All parts of which anything is referred to. */
  *parts(): Generator<{ bornIn: string; part: number }, void, undefined> {
    for (const [bornIn, masks] of this.#parts) {
      for (const [part, mask] of masks.entries()) if (mask !== 0) yield { bornIn, part };
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

/** `count` bits from bit `offset` on. */
export function bits(offset: number, count: number): number {
  const ones = count >= 32 ? 0xffff_ffff : 2 ** count - 1;
  return (ones << offset) >>> 0;
}

/** How many of the bits are set. */
export function countBits(mask: number): number {
  let count = 0;
  for (let rest = mask >>> 0; rest !== 0; rest = (rest & (rest - 1)) >>> 0) count++;
  return count;
}
