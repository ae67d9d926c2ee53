/** Runs what it is given, but so many at a time at most; the others wait for their turn. */
export type Turnstile = <T>(work: () => Promise<T>) => Promise<T>;

/** A turnstile through which `limit` pieces of work pass at a time. */
export function atMost(limit: number): Turnstile {
  let running = 0;
  const waiting: (() => void)[] = [];

  return async (work) => {
    if (running < limit) running += 1;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await work();
    } finally {
      // Whoever waits longest takes over this place.
      const next = waiting.shift();
      if (next === undefined) running -= 1;
      else next();
    }
  };
}
