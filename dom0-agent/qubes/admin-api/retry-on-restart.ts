import { setTimeout as sleep } from 'node:timers/promises';

import { SystemGoneError } from '../system.ts';
import { AdminApiError, isAdminApiError, NO_REPLY } from './admin-api-error.ts';
import type { AdminApi } from './admin-api.ts';

export interface RetryOptions {
  /** How long to wait for qubesd to come back, in milliseconds. */
  readonly restartTimeout: number;
  /** Called with a message for the user when coffer waits for qubesd. */
  readonly onWait?: ((text: string) => void) | undefined;
}

/** How often to check whether qubesd is back, in milliseconds. */
const INTERVAL = 250;

/** A call that every release of Qubes answers and that changes nothing. */
const PROBE = ['dom0', 'admin.label.List'] as const;

/**
 * How qubesd answers a repeated call that it had already carried out before it disconnected. Whoever made the change,
 * the result is the requested one. Creation is not among these calls: the existing VM may be somebody else's, and
 * coffer writes into what it created, and may remove it.
 */
const DONE_ALREADY: readonly (readonly [method: RegExp, isSaid: (error: unknown) => boolean])[] = [
  [/^admin\.vm\.Remove$/, ofType('QubesVMNotFoundError')],
  [/^admin\.vm\.feature\.Remove$/, ofType('QubesFeatureNotFoundError')],
  [/^admin\.vm\.tag\.Remove$/, ofType('QubesTagNotFoundError')],
  [/^admin\.vm\.device\.\w+\.Assign$/, ofType('DeviceAlreadyAssigned')],
  [/^admin\.vm\.device\.\w+\.Attach$/, ofType('DeviceAlreadyAttached')],
];

function ofType(type: string): (error: unknown) => boolean {
  return (error) => isAdminApiError(error, type);
}

/** A call whose answer was lost when qubesd disconnected, and which was refused when it was repeated. */
export class AnswerLostError extends AdminApiError {
  constructor({ type, message }: AdminApiError) {
    super(type, `${message}; the first time, qubesd disconnected before it answered`);
  }
}

/**
 * The same Admin API, except that when qubesd restarts, as it does when it is updated, the call waits
 * and is repeated once. Throws SystemGoneError when qubesd does not come back, and immediately when it was
 * never there; AnswerLostError when it refuses what it may already have done.
 */
export function retryOnRestart(api: AdminApi, options: RetryOptions): AdminApi {
  const { restartTimeout, onWait } = options;
  let wasThere = false;
  let waiting: Promise<void> | undefined;

  const waitForQubesd = async (): Promise<void> => {
    onWait?.('qubesd is not answering: waiting for it to come back');
    const deadline = Date.now() + restartTimeout;
    for (;;) {
      try {
        await api(...PROBE);
        return;
      } catch (error) {
        if (!(error instanceof SystemGoneError)) throw error;
        if (Date.now() > deadline) {
          // Later calls do not wait again.
          wasThere = false;
          throw error;
        }
      }
      await sleep(INTERVAL);
    }
  };
  const isBack = async (): Promise<void> => {
    waiting ??= waitForQubesd().finally(() => (waiting = undefined));
    return waiting;
  };

  /** Whether qubesd has disconnected. An empty reply can mean a refusal, or that qubesd is shutting down. */
  const disconnected = async (error: unknown): Promise<boolean> => {
    if (error instanceof SystemGoneError) return wasThere;
    if (!isAdminApiError(error, NO_REPLY)) return false;
    return api(...PROBE).then(
      () => false,
      (now: unknown) => now instanceof SystemGoneError,
    );
  };

  return async (...call) => {
    try {
      const reply = await api(...call);
      wasThere = true;
      return reply;
    } catch (error) {
      if (!(await disconnected(error))) throw error;
    }
    await isBack();
    try {
      return await api(...call);
    } catch (error) {
      const [, method] = call;
      const isDone = DONE_ALREADY.some(
        ([pattern, isSaid]) => pattern.test(method) && isSaid(error),
      );
      if (isDone) return '';
      throw error instanceof AdminApiError ? new AnswerLostError(error) : error;
    }
  };
}
