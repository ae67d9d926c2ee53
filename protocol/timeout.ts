/**
 * Waits for a promise until a time limit or an abort. The promise itself is not cancelled; its result is then ignored.
 *
 * @param milliseconds undefined: no limit
 * @param late makes the error that is thrown when the limit is reached
 * @throws the error of `late`, the signal's reason
 */
export async function withTimeout<T>(
  promise: Promise<T>,
  milliseconds: number | undefined,
  late: () => Error,
  signal?: AbortSignal,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  let onAbort: (() => void) | undefined;
  const interruption = new Promise<never>((_resolve, reject) => {
    if (milliseconds !== undefined) timer = setTimeout(() => reject(late()), milliseconds);
    onAbort = () => reject(asError(signal?.reason));
    if (signal?.aborted === true) onAbort();
    signal?.addEventListener('abort', onAbort);
  });
  try {
    return await Promise.race([promise, interruption]);
  } finally {
    clearTimeout(timer);
    if (onAbort !== undefined) signal?.removeEventListener('abort', onAbort);
  }
}

/** Waits for a promise until an abort. */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return withTimeout(promise, undefined, () => new Error('no limit'), signal);
}

/**
 * The items of an iterable until an abort, whose reason is thrown. A pending item is then abandoned: it ends when its
 * source is disposed of.
 */
export async function* untilEachAborted<T>(
  items: AsyncIterable<T>,
  signal: AbortSignal,
): AsyncGenerator<T, void> {
  const iterator = items[Symbol.asyncIterator]();
  let isWaiting = false;
  try {
    for (;;) {
      isWaiting = true;
      const next: IteratorResult<T, unknown> = await untilAborted(iterator.next(), signal);
      isWaiting = false;
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    if (!isWaiting) await iterator.return?.();
  }
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
