import { Semaphore } from '../../../shared/semaphore.ts';
import { MiB } from '../../../shared/sizes.ts';

/** Smaller buffers are not worth keeping. */
const WORTH_KEEPING = 1 * MiB;

/**
 * The memory for parts: a fixed number of bytes. Large buffers are reused: new memory for every part would
 * cost more than its encryption, and Node would keep the old one while the next is filled.
 */
export class BufferPool {
  readonly #total: number;
  readonly #memory: Semaphore;
  readonly #signal: AbortSignal;
  /** Buffers that were given back. */
  #kept: Buffer[] = [];

  /** @param signal ends waiting for memory, when no buffer will be given back */
  constructor(total: number, signal: AbortSignal) {
    this.#total = total;
    this.#memory = new Semaphore(total);
    this.#signal = signal;
  }

  /**
   * A buffer of `length` bytes, not cleared, as soon as there is room. A request that exceeds the total waits
   * until everything has been given back.
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

  /** Returns a buffer from `take` to the pool. */
  give(buffer: Buffer): void {
    if (buffer.buffer.byteLength >= WORTH_KEEPING) this.#kept.push(Buffer.from(buffer.buffer));
    this.#memory.release(buffer.length);
  }

  /** Returns a buffer that may still be in use: its size is available to others, but not its memory. */
  drop(buffer: Buffer): void {
    this.#memory.release(buffer.length);
  }

  get #keptBytes(): number {
    return this.#kept.reduce((total, { length }) => total + length, 0);
  }
}
