/**
 * Calls `map` for each item, and yields the results in order. Up to `width` calls run at a time, so that all cores
 * work; no more results are held. When the consumer stops, or a call fails, the others are awaited.
 */
export async function* mapAhead<T, R>(
  source: AsyncIterable<T> | Iterable<T>,
  width: number,
  map: (item: T) => Promise<R>,
): AsyncGenerator<R, void, undefined> {
  const running: Promise<R>[] = [];
  try {
    for await (const item of source) {
      const made = map(item);
      // An error is thrown in its turn; until then it must not count as unhandled.
      void Promise.allSettled([made]);
      running.push(made);
      const first = running.length < width ? undefined : running.shift();
      if (first !== undefined) yield await first;
    }
    for (let first = running.shift(); first !== undefined; first = running.shift()) {
      yield await first;
    }
  } finally {
    await Promise.allSettled(running);
  }
}
