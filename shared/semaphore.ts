interface Waiting {
  readonly amount: number;
  readonly resume: () => void;
}

/** Limits how much of a resource is in use at a time: concurrent calls, bytes of memory. First come, first served. */
export class Semaphore {
  readonly #total: number;
  readonly #waiting: Waiting[] = [];
  #inUse = 0;

  constructor(total: number) {
    this.#total = total;
  }

  /** How much is in use now. */
  get inUse(): number {
    return this.#inUse;
  }

  /**
   * Resolves when `amount` is available. More than the total is granted when nothing else is in use. Rejects with the
   * signal's reason.
   */
  async acquire(amount: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.#waiting.length === 0 && this.#hasRoomFor(amount)) this.#inUse += amount;
    else await this.#wait(amount, signal);
  }

  release(amount: number): void {
    this.#inUse -= amount;
    this.#serve();
  }

  /** Runs `work` as soon as fewer than the total number of such calls are running. */
  async run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    await this.acquire(1, signal);
    try {
      return await work();
    } finally {
      this.release(1);
    }
  }

  #wait(amount: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const giveUp = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        reject(signal?.reason as Error);
        this.#serve();
      };
      const resume = (): void => {
        signal?.removeEventListener('abort', giveUp);
        resolve();
      };
      const waiting = { amount, resume };
      this.#waiting.push(waiting);
      signal?.addEventListener('abort', giveUp, { once: true });
    });
  }

  #serve(): void {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      if (!this.#hasRoomFor(first.amount)) return;
      this.#waiting.shift();
      this.#inUse += first.amount;
      first.resume();
    }
  }

  #hasRoomFor(amount: number): boolean {
    return this.#inUse === 0 || this.#inUse + amount <= this.#total;
  }
}
