import { InterruptedError, messageOf } from '../../shared/errors.ts';
import { launchState } from './launch-state.ts';

/**
 * Aborts when the user or the system asks coffer to stop; running work then cleans up. A signal that was ignored
 * when coffer was started, as under nohup, stays ignored.
 */
export function abortOnSignals(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    // Without a listener, Node.js would let it end the program.
    const listener = launchState.ignores(signal)
      ? () => undefined
      : () => controller.abort(new InterruptedError(`interrupted by ${signal}`));
    process.on(signal, listener);
  }
  // A limit on file sizes then causes a write error, instead of killing this program.
  process.on('SIGXFSZ', () => undefined);
  return controller.signal;
}

/** The result of `work`. If it is interrupted, the error says what state that left. */
export async function describingInterrupt<T>(
  work: Promise<T>,
  signal: AbortSignal,
  describe: () => string,
): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new InterruptedError(`${messageOf(signal.reason)}: ${describe()}`, { cause: error });
  }
}
