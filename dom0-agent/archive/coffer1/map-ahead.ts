/**
 * What `map` makes of each item, in their order. Up to `width` are being made at a time, so that all cores work;
 * no more are held. When the consumer leaves, or one fails, the others are awaited.
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
      // An error is told when its turn comes; until then it is not unhandled.
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
