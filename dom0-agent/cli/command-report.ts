import { stderr } from 'node:process';
import { printable } from '../../shared/printable.ts';
import type { Report } from '../../shared/report.ts';
import { ProgressLine } from './progress-line.ts';
import { liveLine, showForAnswer, showJson, showNotice, showResult } from './output.ts';

/**
 * What the user sees of a command: the result on standard output, everything else on standard error,
 * with a live line where that is a terminal. With `--json`, the result is one JSON object instead.
 * Disposing of it removes the live line.
 */
export class CommandReport implements Report, Disposable {
  readonly warnings: string[] = [];
  /** The names of what could not be rolled back, or is kept. */
  readonly notRolledBack: string[] = [];
  readonly #json: boolean;
  readonly #quiet: boolean;
  #progress: ProgressLine | undefined;
  /** Warnings shown while the live line was there, which are repeated at the end. */
  #passed: string[] = [];

  constructor(options: { readonly json?: true; readonly quiet?: true }) {
    this.#json = options.json ?? false;
    this.#quiet = options.quiet ?? false;
  }

  /** A part of the result for people: not with `--quiet`, which leaves it to the exit status. */
  say(text: string): void {
    if (!this.#json && !this.#quiet) showResult(text);
  }

  /** What a question is about: always shown, since it must be known to answer. */
  ask(text: string): void {
    showForAnswer(text, this.#json || this.#quiet);
  }

  /** The result for programs, and the end of the result for people. */
  result(object: object): void {
    if (this.#json) showJson(object);
    for (const warning of this.#passed) showNotice(warning);
    this.#passed = [];
  }

  info(text: string): void {
    if (this.#progress !== undefined) this.#progress.subject = printable(text);
    else if (!this.#quiet) showNotice(printable(text));
  }

  warning(text: string): void {
    const line = `warning: ${printable(text)}`;
    this.warnings.push(text);
    showNotice(line);
    if (this.#progress !== undefined) this.#passed.push(line);
  }

  rollbackFailed(what: string, text: string): void {
    this.notRolledBack.push(what);
    this.warning(text);
  }

  /** Shows a line with the progress from now on, if there is a terminal to show it on. */
  startProgress(total: number): void {
    if (this.#quiet || !stderr.isTTY || total <= 0) return;
    const progress = new ProgressLine(total);
    this.#progress = progress;
    liveLine.start((columns) => progress.format(columns));
  }

  progress(bytes: number): void {
    this.#progress?.advance(bytes);
  }

  endProgress(): void {
    liveLine.end();
    this.#progress = undefined;
  }

  [Symbol.dispose](): void {
    this.endProgress();
  }
}
