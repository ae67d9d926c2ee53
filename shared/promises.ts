/** Calls `find` once, when its result is first asked for, and caches that. A failure is not cached. */
export function memoize<T>(find: () => Promise<T>): () => Promise<T> {
  let found: Promise<T> | undefined;
  return async () => {
    found ??= find();
    try {
      return await found;
    } catch (error) {
      found = undefined;
      throw error;
    }
  };
}

/** Runs a piece of work as soon as there is room for it. */
export type Limiter = <T>(work: () => Promise<T>) => Promise<T>;

/** Lets `limit` pieces of work run at a time; the others wait for their turn, in order. */
export function limitConcurrency(limit: number): Limiter {
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
