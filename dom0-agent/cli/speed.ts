/** In seconds: what was longer ago hardly counts. */
const MEMORY = 20;
/** In seconds: before, nothing is said. */
const SOONEST = 2;

/** How fast something goes, smoothed: storage confirms in steps, and one slow moment should not double the time left. */
export class Speed {
  readonly #now: () => number;
  readonly #begun: number;
  #lastTime: number;
  #lastDone = 0;
  /** An exponentially weighted mean, and the sum of its weights, which is 1 in the long run. */
  #mean = 0;
  #weight = 0;

  /** @param now a clock, in milliseconds */
  constructor(now: () => number) {
    this.#now = now;
    this.#begun = this.#lastTime = now();
  }

  /** Since the beginning, in seconds. */
  get seconds(): number {
    return (this.#now() - this.#begun) / 1000;
  }

  /** To be called regularly with how much is done; gives units per second, undefined while that means nothing yet. */
  measure(done: number): number | undefined {
    const seconds = (this.#now() - this.#lastTime) / 1000;
    if (seconds >= 1) {
      const share = 1 - Math.exp(-seconds / MEMORY);
      this.#mean += share * ((done - this.#lastDone) / seconds - this.#mean);
      this.#weight += share * (1 - this.#weight);
      this.#lastTime = this.#now();
      this.#lastDone = done;
    }
    if (this.seconds < SOONEST || this.#mean <= 0) return undefined;
    return this.#mean / this.#weight;
  }
}
