import { ID_LENGTH } from './chunk-ids.ts';
import { ByPart } from './by-part.ts';
import { bits, covers, placesIn, rankOf } from './chunk-mask.ts';
import { Uint32List } from './uint32-list.ts';

/** In which file a part is born, and its number among those that are born there. */
export interface PartPlace {
  readonly backupId: string;
  readonly part: number;
}

/** Where a chunk lies: in which part, and where in that, counted in chunks. */
export interface ChunkPlace extends PartPlace {
  readonly offset: number;
}

/** Ids in a block: a block is never copied to grow. */
const BLOCK = 2 ** 16;
/** How full the table of ids becomes before it grows. */
const LOAD = 0.9;

/**
 * The chunks of one domain that files of the series hold: found by their ids, and their ids by their places. Takes 16
 * bytes a chunk, and 5 more once a chunk was looked for by its id.
 */
export class KnownChunks {
  readonly #blocks: Buffer[] = [];
  #count = 0;
  /** Of each part: where it was born, its number there, its first chunk here, which of its chunks there are. */
  readonly #bornIn: string[] = [];
  readonly #origin = new Uint32List();
  readonly #part = new Uint32List();
  readonly #start = new Uint32List();
  readonly #mask = new Uint32List();
  /** The row of each part, plus one. */
  readonly #rows = new ByPart();
  /** Number of a chunk plus one, at a place that follows from its id, or else at the next free one. */
  #slots: Uint32Array | undefined;

  /** How many chunks there are. */
  get size(): number {
    return this.#count;
  }

  hasPart(backupId: string, part: number): boolean {
    return this.#rows.get(backupId, part) > 0;
  }

  /**
   * Adds a part with the ids of its chunks, unless it is there.
   *
   * @param mask which of those that it was born with there are, as bits
   */
  addPart(
    backupId: string,
    part: number,
    ids: Buffer,
    mask = bits(0, ids.length / ID_LENGTH),
  ): void {
    if (this.hasPart(backupId, part)) return;
    this.#rows.set(backupId, part, this.#part.length + 1);
    if (this.#bornIn.at(-1) !== backupId && !this.#bornIn.includes(backupId)) {
      this.#bornIn.push(backupId);
    }
    this.#origin.push(this.#bornIn.indexOf(backupId));
    this.#part.push(part);
    this.#start.push(this.#count);
    this.#mask.push(mask);
    for (let at = 0; at < ids.length; at += ID_LENGTH) {
      this.#push(ids.subarray(at, at + ID_LENGTH));
    }
  }

  /** Where a chunk with this id lies; undefined when there is none. */
  find(id: Buffer): ChunkPlace | undefined {
    const slots = (this.#slots ??= this.#table());
    for (let slot = slotOf(id, slots.length); ; slot = slot + 1 === slots.length ? 0 : slot + 1) {
      const chunk = (slots[slot] ?? 0) - 1;
      if (chunk < 0) return undefined;
      if (this.#idOf(chunk).equals(id)) return this.#placeOf(chunk);
    }
  }

  /** The id of the chunk at this place; undefined when that is not known. */
  idAt(place: ChunkPlace): Buffer | undefined {
    return this.idsAt(place, 1);
  }

  /** The ids of `count` chunks that follow each other in a part; undefined when they are not known. */
  idsAt({ backupId, part, offset }: ChunkPlace, count: number): Buffer | undefined {
    const row = this.#rows.get(backupId, part) - 1;
    if (row < 0) return undefined;
    const mask = this.#mask.at(row);
    if (!covers(mask, bits(offset, count))) return undefined;
    const first = this.#start.at(row) + rankOf(mask, offset);
    const inBlock = Math.min(count, BLOCK - (first % BLOCK));
    const ids = this.#idsFrom(first, inBlock);
    return inBlock === count
      ? ids
      : Buffer.concat([ids, this.#idsFrom(first + inBlock, count - inBlock)]);
  }

  #push(id: Buffer): void {
    const place = this.#count % BLOCK;
    if (place === 0) this.#blocks.push(Buffer.allocUnsafeSlow(BLOCK * ID_LENGTH));
    const chunk = this.#count++;
    id.copy(this.#blocks[this.#blocks.length - 1] ?? id, place * ID_LENGTH);
    if (this.#slots === undefined) return;
    if (this.#count > LOAD * this.#slots.length) this.#slots = undefined;
    else insert(this.#slots, id, chunk);
  }

  #table(): Uint32Array {
    const slots = new Uint32Array(Math.ceil((this.#count * 1.05) / LOAD) + 1024);
    for (let chunk = 0; chunk < this.#count; chunk++) insert(slots, this.#idOf(chunk), chunk);
    return slots;
  }

  #idOf(chunk: number): Buffer {
    return this.#idsFrom(chunk, 1);
  }

  /** Of chunks in one block. */
  #idsFrom(first: number, count: number): Buffer {
    const at = (first % BLOCK) * ID_LENGTH;
    const block = this.#blocks[Math.floor(first / BLOCK)];
    if (block === undefined) throw new RangeError(`there is no chunk ${first}`);
    return block.subarray(at, at + count * ID_LENGTH);
  }

  #placeOf(chunk: number): ChunkPlace {
    let [from, to] = [0, this.#start.length - 1];
    while (from < to) {
      const middle = Math.ceil((from + to) / 2);
      if (this.#start.at(middle) <= chunk) from = middle;
      else to = middle - 1;
    }
    const backupId = this.#bornIn[this.#origin.at(from)] ?? '';
    const offset = placesIn(this.#mask.at(from))[chunk - this.#start.at(from)] ?? 0;
    return { backupId, part: this.#part.at(from), offset };
  }
}

/** Ids are as good as random: those of a domain are spread evenly. */
function slotOf(id: Buffer, slots: number): number {
  return Math.floor((id.readUInt32LE(0) / 2 ** 32) * slots);
}

function insert(slots: Uint32Array, id: Buffer, chunk: number): void {
  let slot = slotOf(id, slots.length);
  while (slots[slot] !== 0) slot = slot + 1 === slots.length ? 0 : slot + 1;
  slots[slot] = chunk + 1;
}
