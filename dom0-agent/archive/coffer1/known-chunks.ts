import { ID_LENGTH } from './chunk-ids.ts';
import { ByPart } from './by-part.ts';
import { bits, covers, placesIn, rankOf } from './chunk-mask.ts';
import { Uint32List } from './uint32-list.ts';

/** A part: the file in which it was first stored, and its number there. */
export interface PartPlace {
  readonly backupId: string;
  readonly part: number;
}

/** Where a chunk is: in which part, and at which position there, counted in chunks. */
export interface ChunkPlace extends PartPlace {
  readonly offset: number;
}

/** How many ids a block has. There are blocks so that nothing has to be copied to grow. */
const BLOCK = 2 ** 16;
/** How full the table of ids becomes before it grows. */
const LOAD = 0.9;

/**
 * The chunks of one domain that are in files of the series. Finds chunks by their ids, and ids by the places of chunks.
 * Takes 16 bytes a chunk, and 4 more after the first search by an id.
 */
export class KnownChunks {
  readonly #blocks: Buffer[] = [];
  #count = 0;
  /** For each row: the file in which the part was first stored, its number there, its first chunk here, its mask. */
  readonly #bornIn: string[] = [];
  readonly #origin = new Uint32List();
  readonly #part = new Uint32List();
  readonly #start = new Uint32List();
  readonly #mask = new Uint32List();
  /** The row of each part, plus one. */
  readonly #rows = new ByPart();
  /** A hash table: the number of each chunk plus one, in the slot that its id determines, or in the next free one. */
  #slots: Slots | undefined;

  /** How many chunks there are. */
  get size(): number {
    return this.#count;
  }

  hasPart(backupId: string, part: number): boolean {
    return this.#rows.get(backupId, part) > 0;
  }

  /**
   * Adds a part with the ids of its chunks, unless it is known already.
   *
   * @param mask which of its original chunks these are, as bits
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

  /** Where a chunk with this id is; undefined if there is none. */
  find(id: Buffer): ChunkPlace | undefined {
    const slots = (this.#slots ??= this.#table());
    for (let slot = slots.first(id.readUInt32LE(0)); ; slot = slots.after(slot)) {
      const chunk = slots.at(slot) - 1;
      if (chunk < 0) return undefined;
      if (this.#idOf(chunk).equals(id)) return this.#placeOf(chunk);
    }
  }

  /** The id of the chunk at this place; undefined if it is not known. */
  idAt(place: ChunkPlace): Buffer | undefined {
    return this.idsAt(place, 1);
  }

  /** The ids of `count` consecutive chunks of a part; undefined if not all of them are known. */
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
    else this.#slots.insert(id.readUInt32LE(0), chunk + 1);
  }

  #table(): Slots {
    const slots = new Slots(Math.ceil((this.#count * 1.05) / LOAD) + 1024);
    for (let chunk = 0; chunk < this.#count; chunk++) {
      const word = this.#blocks[Math.floor(chunk / BLOCK)]?.readUInt32LE(
        (chunk % BLOCK) * ID_LENGTH,
      );
      slots.insert(word ?? 0, chunk + 1);
    }
    return slots;
  }

  #idOf(chunk: number): Buffer {
    return this.#idsFrom(chunk, 1);
  }

  /** The ids of chunks that are in the same block. */
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

/**
 * Numbers in slots, each in the one that an id determines, or in the next that is free; 0 is none. They take three bytes
 * each while all can be below 2^24, as with the chunks of a volume, and four beyond.
 */
class Slots {
  readonly length: number;
  readonly #low: Uint16Array;
  readonly #high: Uint8Array | Uint16Array;

  /** There must be more slots than numbers, and no larger number than there are slots. */
  constructor(length: number) {
    this.length = length;
    this.#low = new Uint16Array(length);
    this.#high = length < 2 ** 24 ? new Uint8Array(length) : new Uint16Array(length);
  }

  at(slot: number): number {
    return (this.#high[slot] ?? 0) * 2 ** 16 + (this.#low[slot] ?? 0);
  }

  /** Ids are as good as random, so their first 32 bits spread them evenly. */
  first(word: number): number {
    return Math.floor((word / 2 ** 32) * this.length);
  }

  after(slot: number): number {
    return slot + 1 === this.length ? 0 : slot + 1;
  }

  insert(word: number, number: number): void {
    let slot = this.first(word);
    while (this.at(slot) !== 0) slot = this.after(slot);
    this.#low[slot] = number % 2 ** 16;
    this.#high[slot] = Math.floor(number / 2 ** 16);
  }
}
