import { setTimeout as sleep } from 'node:timers/promises';

import { SystemGoneError } from '../system.ts';
import { AdminApiError, isAdminApiError, NO_REPLY } from './admin-api-error.ts';
import type { AdminApi } from './admin-api.ts';

export interface RetryOptions {
  /** How long a qubesd that went away is waited for, in milliseconds. */
  readonly restartTimeout: number;
  /** Told, in words for the user, that qubesd is waited for. */
  readonly onWait?: ((text: string) => void) | undefined;
}

const INTERVAL = 250;

/** A call that every release of Qubes answers, and that changes nothing. */
const PROBE = ['dom0', 'admin.label.List'] as const;

/**
 * What qubesd answers to a call that it had carried out already, when it went away before it could
 * say so. Whoever did it, it is as was asked for. A creation is not among them: a VM that is there may be
 * another's, and what coffer has created it writes into and may remove.
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

/** A call whose answer was lost with qubesd; asked again, it was refused. */
export class AnswerLostError extends AdminApiError {
  constructor({ type, message }: AdminApiError) {
    super(type, `${message}; the first time, qubesd went away before it could answer`);
  }
}

/**
 * The same Admin API, for which a qubesd that restarts, as it does at its update, is waited for and
 * asked once more. Throws SystemGoneError when it does not come back, and at once when it was never
 * there; AnswerLostError when it refuses what it may have done already.
 */
export function retryOnRestart(api: AdminApi, options: RetryOptions): AdminApi {
  const { restartTimeout, onWait } = options;
  let wasThere = false;
  let waiting: Promise<void> | undefined;

  const waitForQubesd = async (): Promise<void> => {
    onWait?.('qubesd went away: waiting for it to come back');
    const deadline = Date.now() + restartTimeout;
    for (;;) {
      try {
        await api(...PROBE);
        return;
      } catch (error) {
        if (!(error instanceof SystemGoneError)) throw error;
        if (Date.now() > deadline) {
          // What is asked from now on does not wait once more.
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

  /** No answer is what a refusal looks like, and a qubesd that is just ending. */
  const wentAway = async (error: unknown): Promise<boolean> => {
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
      if (!(await wentAway(error))) throw error;
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
