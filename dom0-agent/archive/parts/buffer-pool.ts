import { Semaphore } from '../../../shared/semaphore.ts';
import { MiB } from '../../../shared/sizes.ts';

/** Smaller buffers are not worth keeping. */
const WORTH_KEEPING = 1 * MiB;

/**
 * The memory that parts lie in: so many bytes and no more. Large buffers go round: new memory for every part
 * would cost more than its encryption, and Node would hold on to the old while the next is filled.
 */
export class BufferPool {
  readonly #total: number;
  readonly #memory: Semaphore;
  readonly #signal: AbortSignal;
  /** Buffers that were given back. */
  #kept: Buffer[] = [];

  /** @param signal ends the waiting for memory: for when nothing will be given back any more */
  constructor(total: number, signal: AbortSignal) {
    this.#total = total;
    this.#memory = new Semaphore(total);
    this.#signal = signal;
  }

  /**
   * A buffer of `length` bytes, with anything in it, as soon as there is room. What is more than there is at
   * all waits until everything has been given back.
   */
  async take(length: number): Promise<Buffer> {
    await this.#memory.acquire(length, this.#signal);
    const kept = this.#kept.find((each) => each.length >= length && each.length <= 2 * length);
    if (kept === undefined) {
      if (this.#memory.inUse + this.#keptBytes > this.#total) this.#kept = [];
      return Buffer.allocUnsafeSlow(length);
    }
    this.#kept.splice(this.#kept.indexOf(kept), 1);
    return kept.subarray(0, length);
  }

  /** Takes back a buffer from `take`, for others. */
  give(buffer: Buffer): void {
    if (buffer.buffer.byteLength >= WORTH_KEEPING) this.#kept.push(Buffer.from(buffer.buffer));
    this.#memory.release(buffer.length);
  }

  /** Takes back a buffer that somebody may still be reading: others get the room, but not this memory. */
  drop(buffer: Buffer): void {
    this.#memory.release(buffer.length);
  }

  get #keptBytes(): number {
    return this.#kept.reduce((total, { length }) => total + length, 0);
  }
}
