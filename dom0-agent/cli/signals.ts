import { InterruptedError, messageOf } from '../../shared/errors.ts';
import { launchState } from './launch-state.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** How long what was sent may take to be kept after an interruption, in milliseconds: systemd waits for 90 s. */
const GRACE = 60_000;

/**
 * Aborts when the user or the system asks coffer to stop; running work then cleans up. A signal that was ignored
 * when coffer was started, as under nohup, stays ignored.
 */
export function abortOnSignals(): AbortSignal {
  const controller = new AbortController();
  for (const signal of SIGNALS) {
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

/** For what is to be completed though `interrupted` is aborted: aborts a minute later, or when there is another signal. */
export function withGrace(interrupted: AbortSignal): AbortSignal {
  const controller = new AbortController();
  const giveUp = (): void => controller.abort(interrupted.reason);
  const beginGrace = (): void => {
    setTimeout(giveUp, GRACE).unref();
    for (const signal of SIGNALS) if (!launchState.ignores(signal)) process.once(signal, giveUp);
  };
  interrupted.addEventListener('abort', beginGrace, { once: true });
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
