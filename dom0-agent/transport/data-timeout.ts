import { KiB } from '../../shared/sizes.ts';

/** How many bytes must come within the limit: a trickle is not enough. */
const LEAST_BYTES = 64 * KiB;

/** How long a storage VM may still take to give data. Only the time in which it is waited for counts. */
export class DataTimeout {
  readonly #limit: number;
  /** Since LEAST_BYTES last came: the time waited in milliseconds, and the bytes that came. */
  #waited = 0;
  #came = 0;

  /** @param limit in milliseconds */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /**
   * Waits for a message.
   *
   * @param receive is given how long it may take, in milliseconds
   * @param bytesIn how much data a message brings
   */
  async during<T>(
    receive: (limit: number) => Promise<T>,
    bytesIn: (message: T) => number,
  ): Promise<T> {
    const start = performance.now();
    const message = await receive(Math.max(this.#limit - this.#waited, 0));
    this.#waited += performance.now() - start;
    this.#came += bytesIn(message);
    if (this.#came >= LEAST_BYTES) this.#came = this.#waited = 0;
    return message;
  }
}
