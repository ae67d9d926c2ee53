import GLib from 'gi://GLib?version=2.0';
import { CofferProcess } from './coffer-process.ts';
import type { Ended } from './coffer-process.ts';
import type { ErrorEvent, Event, PlanEvent, ResultEvent } from './told.ts';

/**
 * The command line, as the windows start it: `coffer`, or the words of COFFER_PROGRAM in its place (tests run the one
 * that was just built, on a sandbox).
 */
export class CofferProgram {
  readonly #words: readonly string[];

  constructor() {
    const given = GLib.getenv('COFFER_PROGRAM');
    this.#words = given === null ? ['coffer'] : (GLib.shell_parse_argv(given)[1] ?? []);
  }

  start(command: readonly string[]): CofferProcess {
    return new CofferProcess(this.#words, command);
  }
}

/** Lets a coffer run to its end, for its result; undefined if the user did not agree. Throws CofferFailed. */
export async function resultOf(
  running: CofferProcess,
  user: Partial<User> = {},
): Promise<ResultEvent | undefined> {
  let last: Event | undefined;
  let plan: PlanEvent | undefined;
  let hasAgreed = true;
  for await (const event of running) {
    last = event;
    user.tell?.(event);
    if (event.event === 'plan') plan = event;
    if (event.event !== 'question') continue;
    if (event.question !== 'confirm') await running.answer(user.passphrase ?? '');
    else {
      hasAgreed = plan !== undefined && (await user.agree?.(plan)) === true;
      await running.answer(hasAgreed ? 'yes' : 'no');
    }
  }
  const ended = await running.ended();
  return hasAgreed ? resultIn(last, ended) : undefined;
}

/** Who sits before the window. */
export interface User {
  readonly passphrase: string;
  /** Is shown what coffer tells. */
  tell(event: Event): void;
  /** Is shown the plan, and says whether it is to be done. */
  agree(plan: PlanEvent): Promise<boolean>;
}

/** What a command told last: its result. Throws CofferFailed if it is an error, or nothing. */
function resultIn(last: Event | undefined, ended: Ended): ResultEvent {
  if (last?.event === 'result') return last;
  throw new CofferFailed(last?.event === 'error' ? last : undefined, ended);
}

/** A command ended without a result. */
export class CofferFailed extends Error {
  readonly error: ErrorEvent | undefined;
  readonly ended: Ended;

  constructor(error: ErrorEvent | undefined, ended: Ended) {
    super(error?.sentence ?? `coffer ended without a result: ${ended.stderrTail}`);
    this.error = error;
    this.ended = ended;
  }

  /** The input that it is about. */
  get field(): string | undefined {
    return this.error?.field ?? undefined;
  }
}
