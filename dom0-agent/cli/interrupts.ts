import { InterruptedError } from '../../shared/errors.ts';

/** Aborts when the user or the system asks coffer to stop; what is under way then cleans up. */
export function abortOnSignals(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      controller.abort(new InterruptedError(`interrupted by ${signal}: everything was undone`));
    });
  }
  // A limit on the size of files then shows as a failing write, instead of killing this program.
  process.on('SIGXFSZ', () => undefined);
  return controller.signal;
}
