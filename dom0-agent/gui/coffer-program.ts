import GLib from 'gi://GLib?version=2.0';
import { CofferProcess } from './coffer-process.ts';
import type { Ended } from './coffer-process.ts';
import type { ErrorEvent, Event, ResultEvent } from './told.ts';

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

  /** Runs a command that asks nothing, for its result. Throws CofferFailed. */
  async resultOf(command: readonly string[]): Promise<ResultEvent> {
    const running = this.start(command);
    let last: Event | undefined;
    for await (const event of running) last = event;
    return resultIn(last, await running.ended());
  }
}

/** What a command told last: its result. Throws CofferFailed if it is an error, or nothing. */
export function resultIn(last: Event | undefined, ended: Ended): ResultEvent {
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
}
