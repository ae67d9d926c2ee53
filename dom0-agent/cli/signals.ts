import { InterruptedError, messageOf } from '../../shared/errors.ts';
import { launchState } from './launch-state.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** How long completing a file may take after an interruption, in ms: by default, systemd kills a service after 90 s. */
const GRACE = 60_000;

/**
 * A signal that is aborted when the user or the system asks coffer to stop; running work then cleans up. A process
 * signal that was ignored when coffer was started, as under nohup, stays ignored.
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
  // With a listener, a limit on file sizes causes a write error instead of killing this program.
  process.on('SIGXFSZ', () => undefined);
  return controller.signal;
}

/**
 * A signal for work that is completed despite an interruption: aborted a minute later, or at a second process signal.
 */
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

/** The result of `work`. If it is interrupted, throws InterruptedError, which says what state that has left. */
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
