import { stderr, stdout } from 'node:process';
import { SingleBar } from 'cli-progress';
import type { Report } from '../../shared/report.ts';
import { formatSize } from '../../shared/sizes.ts';

/**
 * What the user sees: the result on standard output, everything else on standard error, with a
 * progress bar where that is a terminal. With `--json`, the result is one JSON object instead.
 */
export class Terminal implements Report {
  readonly warnings: string[] = [];
  readonly #json: boolean;
  readonly #quiet: boolean;
  #bar: SingleBar | undefined;
  #done = 0;

  constructor(options: { readonly json?: true; readonly quiet?: true }) {
    this.#json = options.json ?? false;
    this.#quiet = options.quiet ?? false;
  }

  /** A part of the result for people: not with `--quiet`, which leaves it to the exit status. */
  say(text: string): void {
    if (!this.#json && !this.#quiet) stdout.write(`${text}\n`);
  }

  /** What a question is about: shown whatever was asked for, since it must be known for an answer. */
  ask(text: string): void {
    (this.#json || this.#quiet ? stderr : stdout).write(`${text}\n`);
  }

  /** The result for programs. */
  result(object: object): void {
    if (this.#json) stdout.write(`${JSON.stringify(object)}\n`);
  }

  info(text: string): void {
    if (!this.#quiet && this.#bar === undefined) this.#tell(text);
  }

  warning(text: string): void {
    this.warnings.push(text);
    this.#tell(`warning: ${text}`);
  }

  /** Shows a bar from now on, if there is a terminal to show it on. */
  startProgress(total: number): void {
    if (this.#quiet || !stderr.isTTY || total <= 0) return;
    this.#bar = new SingleBar({
      stream: stderr,
      format: '{bar} {percentage}% of {size}, {eta_formatted} left',
      hideCursor: null,
      clearOnComplete: true,
      etaBuffer: 100,
    });
    this.#bar.start(total, 0, { size: formatSize(total) });
  }

  progress(bytes: number): void {
    this.#done += bytes;
    this.#bar?.update(this.#done);
  }

  endProgress(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }

  #tell(text: string): void {
    stderr.write(this.#bar === undefined ? `${text}\n` : `\r\x1b[K${text}\n`);
  }
}
