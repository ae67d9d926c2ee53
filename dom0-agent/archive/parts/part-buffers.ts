/**
 * The memory that parts are made in: a few buffers that go round, so that memory stays bounded and is not
 * asked of the system again for every part.
 */
export class PartBuffers {
  readonly #free: Buffer[] = [];
  readonly #waiting: { resolve: (buffer: Buffer) => void; reject: (error: Error) => void }[] = [];
  readonly #size: number;
  #left: number;
  #lent = 0;
  #closed: Error | undefined;

  /** `count` buffers of `size` bytes, made when they are first needed. */
  constructor(size: number, count: number) {
    this.#size = size;
    this.#left = count;
  }

  get areAllBack(): boolean {
    return this.#lent === 0;
  }

  /** A buffer with any content, as soon as one is free. */
  async take(): Promise<Buffer> {
    if (this.#closed !== undefined) throw this.#closed;
    this.#lent++;
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#left > 0) {
      this.#left--;
      return Buffer.allocUnsafeSlow(this.#size);
    }
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** Takes back a buffer that is no longer needed. */
  give(buffer: Buffer): void {
    this.#lent--;
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(buffer);
    else next.resolve(buffer);
  }

  /**
   * For when no buffer will be given back any more: whoever waits for one, or asks later, gets an error instead
   * of waiting for ever.
   */
  close(): void {
    this.#closed = new Error('the parts are no longer wanted');
    for (const { reject } of this.#waiting.splice(0)) reject(this.#closed);
  }
}
