import { stderr } from 'node:process';
import { printable } from '../../shared/printable.ts';
import type { Phase, Report } from '../../shared/report.ts';
import { ExitStatus } from '../../shared/errors.ts';
import { answersComeOnInput } from './answers-on-input.ts';
import type { Problem } from './events.ts';
import { Progress, type Confirmation, type Share } from './progress.ts';
import { type ProgressDisplay, displayOf } from './progress-display.ts';
import { liveBlock, showEvent, showForAnswer, showNotice, showResult } from './output.ts';

/** A plan or a result for programs, with the fields that docs/json.md describes for the command. */
interface OfCommand {
  readonly command: string;
  readonly [field: string]: unknown;
}

/**
 * What the user sees of a command: the result on standard output, everything else on standard error,
 * with live lines if that is a terminal. With `--json`, everything is events on standard output instead;
 * only warnings are shown on standard error as well. Disposing of it removes the live lines.
 */
export class CommandReport implements Report, Disposable {
  readonly warnings: string[] = [];
  /** The names of VMs and directories that could not be rolled back, or are kept. */
  readonly notRolledBack: string[] = [];
  readonly #json: boolean;
  readonly #quiet: boolean;
  #phase: Phase = 'look';
  #progress: Progress | undefined;
  #display: ProgressDisplay | undefined;
  /** Warnings shown while the live lines were there, which are repeated at the end. */
  #passed: string[] = [];

  constructor(options: { readonly json?: true; readonly quiet?: true }) {
    this.#json = options.json ?? false;
    this.#quiet = options.quiet ?? false;
    if (this.#json) showEvent({ event: 'phase', phase: this.#phase });
  }

  /** Shows a part of the result for people; nothing with `--quiet`, where the exit status is the result. */
  say(text: string): void {
    if (!this.#json && !this.#quiet) showResult(text);
  }

  /** Shows something that the user asked for explicitly, even with `--quiet`. */
  answer(text: string): void {
    if (!this.#json) showResult(text);
  }

  /** Shows what a question is about, always: nobody could answer without it. */
  ask(text: string): void {
    if (!answersComeOnInput()) showForAnswer(text, this.#json || this.#quiet);
  }

  /** What will be done, for programs. */
  plan(plan: OfCommand & { readonly problems: readonly Problem[] }): void {
    if (this.#json) showEvent({ event: 'plan', ...plan });
  }

  /** The result for programs, and the end of the result for people. */
  result(result: OfCommand & { readonly ok: boolean; readonly exitStatus?: number }): void {
    if (this.#json) {
      const exitStatus = result.ok ? ExitStatus.done : ExitStatus.failed;
      showEvent({ event: 'result', exitStatus, ...result });
    }
    for (const warning of this.#passed) showNotice(warning);
    this.#passed = [];
  }

  info(text: string): void {
    if (this.#json) showEvent({ event: 'info', sentence: text });
    else if (!this.#quiet) showNotice(printable(text));
  }

  warning(text: string): void {
    const line = `warning: ${printable(text)}`;
    this.warnings.push(text);
    if (this.#json) showEvent({ event: 'warning', sentence: text });
    showNotice(line);
    if (liveBlock.isShown) this.#passed.push(line);
  }

  rollbackFailed(what: string, text: string): void {
    this.notRolledBack.push(what);
    this.warning(text);
  }

  phase(phase: Phase): void {
    if (phase === this.#phase) return;
    this.#phase = phase;
    if (this.#json) showEvent({ event: 'phase', phase });
    if (this.#progress !== undefined) this.#progress.phase = phase;
  }

  /**
   * Shows the progress from now on.
   *
   * @param confirmed how much the storage has confirmed; if missing, the bytes that were read count
   */
  startProgress(phase: Phase, shares: readonly Share[], confirmed?: () => Confirmation): void {
    this.phase(phase);
    const progress = new Progress(phase, shares, confirmed);
    this.#progress = progress;
    this.#display = displayOf(progress, { json: this.#json, quiet: this.#quiet, terminal: stderr });
  }

  /** The bytes that were read since `startProgress`. */
  get read(): number {
    return this.#progress?.read ?? 0;
  }

  working(qube: string, what: string): void {
    this.#progress?.working(qube, what);
    this.#display?.begun(qube);
  }

  progress(qube: string, bytes: number): void {
    this.#progress?.advance(qube, bytes);
  }

  known(qube: string, bytes: number): void {
    this.#progress?.known(qube, bytes);
  }

  finished(qube: string, failure?: string): void {
    this.#progress?.finished(qube, failure);
    this.#display?.ended(qube);
  }

  endProgress(): void {
    this.#display?.[Symbol.dispose]();
    this.#display = undefined;
    this.#progress = undefined;
  }

  [Symbol.dispose](): void {
    this.endProgress();
  }
}
