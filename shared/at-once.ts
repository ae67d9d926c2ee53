/**
 * Runs `work` for each item, `count` at the same time. If one fails, no more are begun; throws its error once all that
 * were begun have ended.
 */
export async function eachAtOnce<T>(
  items: Iterable<T>,
  count: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const left = items[Symbol.iterator]();
  let hasFailed = false;
  const worker = async (): Promise<void> => {
    for (let next = left.next(); next.done !== true && !hasFailed; next = left.next()) {
      await work(next.value).catch((error: unknown) => {
        hasFailed = true;
        throw error;
      });
    }
  };
  const ended = await Promise.allSettled(Array.from({ length: count }, worker));
  for (const each of ended) if (each.status === 'rejected') throw each.reason;
}
