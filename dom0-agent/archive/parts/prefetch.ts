/**
 * The same items, requested `depth` items ahead, so that producer and consumer work at the same time.
 * Buffers at most `depth` items.
 */
export async function* prefetch<T>(
  source: AsyncIterable<T>,
  depth = 1,
): AsyncGenerator<T, void, undefined> {
  const items = source[Symbol.asyncIterator]();
  const asked: Promise<IteratorResult<T>>[] = [];
  const ask = (): void => {
    const next = items.next();
    // An error is thrown in its turn; until then it must not count as unhandled.
    void Promise.allSettled([next]);
    asked.push(next);
  };
  try {
    for (let i = 0; i < depth; i++) ask();
    for (let next = asked.shift(); next !== undefined; next = asked.shift()) {
      const item = await next;
      if (item.done === true) return;
      ask();
      yield item.value;
    }
  } finally {
    await items.return?.();
  }
}
