import GLib from 'gi://GLib?version=2.0';
import { CofferProcess } from './coffer-process.ts';
import type { Ended } from './coffer-process.ts';
import { _, fill } from './texts.ts';
import type { ErrorEvent, Event, PlanEvent, ResultEvent } from './coffer-events.ts';

/**
 * How the windows start coffer: as `coffer`, or with the words in COFFER_PROGRAM instead (tests run the one that was
 * just built, on a sandbox).
 */
export class CofferProgram {
  readonly #words: readonly string[];

  constructor() {
    const given = GLib.getenv('COFFER_PROGRAM');
    this.#words = given === null ? ['coffer'] : (GLib.shell_parse_argv(given)[1] ?? []);
  }

  /**
   * Starts a command.
   *
   * @param environment variables in addition to those of the window
   */
  start(
    command: readonly string[],
    environment: Readonly<Record<string, string>> = {},
  ): CofferProcess {
    return new CofferProcess(this.#words, command, environment);
  }
}

/** The user of a window, who is shown events and answers questions. */
export interface User {
  readonly passphrase: string;
  /** Called with every event. */
  tell(event: Event): void;
  /** Asks whether to carry out the plan. */
  agree(plan: PlanEvent): Promise<boolean>;
  /** Asks whether to go on nevertheless, after warnings that came since the user agreed. */
  goOn(question: string, warnings: readonly string[]): Promise<boolean>;
}

/**
 * Lets a coffer process run to its end, and returns its result; undefined if the user did not agree. Throws
 * CofferFailed. If anything else is thrown meanwhile, the process is interrupted, so that it does not go on unseen.
 */
export async function resultOf(
  running: CofferProcess,
  user: Partial<User> = {},
): Promise<ResultEvent | undefined> {
  const conversation = new Conversation(running, user);
  try {
    for await (const event of running) await conversation.hear(event);
  } catch (error) {
    running.interrupt();
    throw error;
  }
  const ended = await running.ended();
  return conversation.hasAgreed ? resultIn(conversation.last, ended) : undefined;
}

/** Shows the user coffer's events, and passes on the answers. */
class Conversation {
  last: Event | undefined;
  hasAgreed = true;
  readonly #running: CofferProcess;
  readonly #user: Partial<User>;
  #plan: PlanEvent | undefined;
  #warnings: string[] = [];
  #isAskedAgain = false;

  constructor(running: CofferProcess, user: Partial<User>) {
    this.#running = running;
    this.#user = user;
  }

  async hear(event: Event): Promise<void> {
    this.last = event;
    this.#user.tell?.(event);
    if (event.event === 'plan') this.#plan = event;
    else if (event.event === 'warning') this.#warnings.push(event.sentence);
    else if (event.event === 'question') await this.#answer(event);
  }

  async #answer({ question, text }: Extract<Event, { event: 'question' }>): Promise<void> {
    if (question !== 'confirm') {
      await this.#running.answer(this.#user.passphrase ?? '');
      return;
    }
    this.hasAgreed = (await this.#isAgreed(text)) === true;
    this.#isAskedAgain = true;
    this.#warnings = [];
    await this.#running.answer(this.hasAgreed ? 'yes' : 'no');
  }

  async #isAgreed(question: string): Promise<boolean | undefined> {
    if (this.#isAskedAgain) return this.#user.goOn?.(question, this.#warnings);
    return this.#plan === undefined ? false : this.#user.agree?.(this.#plan);
  }
}

/** The last event, if it is the result. Throws CofferFailed if it is not, or does not match the exit status. */
function resultIn(last: Event | undefined, ended: Ended): ResultEvent {
  if (last?.event === 'result' && last.exitStatus === ended.exitStatus) return last;
  throw new CofferFailed(last?.event === 'error' ? last : undefined, ended);
}

/** A command ended without a result. */
export class CofferFailed extends Error {
  /** The input that the error is about. */
  readonly field: string | undefined;
  /** The VM whose settings the error is about. */
  readonly vm: string | undefined;
  /** Whether the command was interrupted. */
  readonly wasInterrupted: boolean;
  /** Whether it was refused before anything was done. */
  readonly isRefusal: boolean;

  constructor(error: ErrorEvent | undefined, ended: Ended) {
    super(error?.sentence ?? lastWords(ended));
    this.field = error?.field ?? undefined;
    this.vm = error?.vm ?? undefined;
    this.wasInterrupted = error?.exitStatus === INTERRUPTED;
    this.isRefusal = error?.exitStatus === REFUSED;
  }
}

/** Exit statuses of coffer: shared/errors.ts. */
const REFUSED = 5;
const INTERRUPTED = 130;

function lastWords({ exitStatus, stderrTail }: Ended): string {
  const how =
    exitStatus === undefined
      ? _('coffer was killed.')
      : fill(_('coffer ended without a result (exit status {status}).'), { status: exitStatus });
  return stderrTail === '' ? how : `${how}\n${stderrTail}`;
}
