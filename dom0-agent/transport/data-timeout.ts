import { KiB } from '../../shared/sizes.ts';

/** How many bytes must come within the limit: a trickle is not enough. */
const LEAST_BYTES = 64 * KiB;

/** Limits how long a storage VM may take to send data. Only the time spent waiting for it counts. */
export class DataTimeout {
  readonly #limit: number;
  /** Since LEAST_BYTES last arrived: the time spent waiting, in milliseconds, and the bytes that arrived. */
  #waited = 0;
  #came = 0;

  /** @param limit in milliseconds */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /**
   * Waits for a message. LEAST_BYTES of data must arrive within the limit; then it begins anew.
   *
   * @param receive is told how long it may take, in milliseconds
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
