/** The time constant of the mean, in seconds: what was longer ago hardly counts. */
const MEMORY = 20;
/** In seconds: until then, the speed is unknown. */
const SOONEST = 2;

/** A smoothed speed: storage confirms in steps, and one slow moment should not double the time left. */
export class Speed {
  readonly #now: () => number;
  readonly #begun: number;
  #lastTime: number;
  #lastDone = 0;
  /** An exponentially weighted mean, and the sum of its weights, which approaches 1. */
  #mean = 0;
  #weight = 0;

  /** @param now a clock, in milliseconds */
  constructor(now: () => number) {
    this.#now = now;
    this.#begun = this.#lastTime = now();
  }

  /** The time since the beginning, in seconds. */
  get seconds(): number {
    return (this.#now() - this.#begun) / 1000;
  }

  /**
   * To be called regularly with the amount done so far. Returns the amount per second; undefined while it is unknown.
   */
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
