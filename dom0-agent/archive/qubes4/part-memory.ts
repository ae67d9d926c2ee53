import { EventEmitter, once } from 'node:events';
import { MiB } from '../../../shared/sizes.ts';

/** Smaller buffers are not worth keeping. */
const WORTH_KEEPING = 1 * MiB;

/**
 * The memory for parts: so many bytes and no more. Large buffers that are given back are used again:
 * Node would otherwise hold on to the old ones while the next are filled.
 */
export class PartMemory {
  readonly #total: number;
  readonly #given = new EventEmitter();
  /** Bytes given out, and buffers given back. */
  #taken = 0;
  #kept: Buffer[] = [];

  constructor(total: number) {
    this.#total = total;
  }

  /**
   * A buffer of `length` bytes, with anything in it. Waits until there is room; what is more than there
   * is at all waits until everything has been given back.
   */
  async take(length: number, signal: AbortSignal): Promise<Buffer> {
    while (this.#taken > 0 && this.#taken + length > this.#total) {
      await once(this.#given, 'given', { signal });
    }
    this.#taken += length;
    const kept = this.#kept.find((each) => each.length >= length && each.length <= 2 * length);
    if (kept === undefined) {
      if (this.#taken + this.#keptBytes > this.#total) this.#kept = [];
      return Buffer.allocUnsafeSlow(length);
    }
    this.#kept.splice(this.#kept.indexOf(kept), 1);
    return kept.subarray(0, length);
  }

  /** Takes back a buffer from `take`. It is not used again if somebody may still be reading it. */
  give(buffer: Buffer, inUse: boolean): void {
    this.#taken -= buffer.length;
    if (!inUse && buffer.buffer.byteLength >= WORTH_KEEPING)
      this.#kept.push(Buffer.from(buffer.buffer));
    this.#given.emit('given');
  }

  get #keptBytes(): number {
    return this.#kept.reduce((total, { length }) => total + length, 0);
  }
}
