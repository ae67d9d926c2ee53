import type { WriteStream } from 'node:tty';
import { printable } from '../../shared/printable.ts';
import { liveBlock, showEvent, showNotice } from './output.ts';
import type { Progress } from './progress.ts';
import { formatBlock, formatProgress } from './progress-text.ts';

/** Shows the progress of a running command, until it is disposed of. */
export interface ProgressDisplay extends Disposable {
  /** This VM is being processed from now on. */
  begun(qube: string): void;
  /** This VM is done, or has failed. */
  ended(qube: string): void;
}

/** How often programs get an event, in ms. */
const EVENTS = 1_000;
/** How often a line is written to a log, in ms. */
const LOG = 60_000;

/** A display that suits the output: events, live lines on a terminal, or lines in a log. */
export function displayOf(
  progress: Progress,
  {
    json,
    quiet,
    terminal,
  }: { readonly json: boolean; readonly quiet: boolean; readonly terminal: WriteStream },
): ProgressDisplay {
  if (json) return new EventDisplay(progress);
  if (quiet) return NOTHING;
  return terminal.isTTY ? new LiveDisplay(progress) : new LogDisplay(progress);
}

const NOTHING: ProgressDisplay = {
  begun: () => undefined,
  ended: () => undefined,
  [Symbol.dispose]: () => undefined,
};

class LiveDisplay implements ProgressDisplay {
  constructor(progress: Progress) {
    liveBlock.start((columns) =>
      formatBlock(progress.standing, columns).map((line) => printable(line)),
    );
  }

  begun(): void {
    // The lines are redrawn regularly anyway.
  }

  ended(): void {
    // As above.
  }

  [Symbol.dispose](): void {
    liveBlock.end();
  }
}

class LogDisplay implements ProgressDisplay {
  readonly #progress: Progress;
  readonly #timer: NodeJS.Timeout;

  constructor(progress: Progress) {
    this.#progress = progress;
    this.#timer = setInterval(() => this.#tell(formatProgress(progress.standing)), LOG).unref();
  }

  begun(qube: string): void {
    const what = this.#progress.qube(qube)?.what;
    if (what !== undefined) this.#tell(`${qube}: ${what}`);
  }

  ended(qube: string): void {
    if (this.#progress.qube(qube)?.state === 'failed') this.#tell(`${qube}: failed`);
  }

  #tell(line: string): void {
    showNotice(printable(line));
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

class EventDisplay implements ProgressDisplay {
  readonly #progress: Progress;
  readonly #timer: NodeJS.Timeout;
  /** The current VM. */
  #qube: string | undefined;

  constructor(progress: Progress) {
    this.#progress = progress;
    this.#timer = setInterval(() => this.#tell(), EVENTS).unref();
    this.#tell();
  }

  begun(qube: string): void {
    this.#qube = qube;
    this.#tellOf(qube);
  }

  ended(qube: string): void {
    this.#tellOf(qube);
    if (this.#qube === qube) this.#qube = undefined;
  }

  #tell(): void {
    if (this.#qube !== undefined) this.#tellOf(this.#qube);
    const { bytes, total, stored, rate, secondsLeft, seconds } = this.#progress.standing;
    showEvent({
      ...{ event: 'progress', bytes, total, stored: stored ?? null },
      rate: rate === undefined ? null : Math.round(rate),
      secondsLeft: secondsLeft === undefined ? null : Math.ceil(secondsLeft),
      seconds: Math.round(seconds),
    });
  }

  #tellOf(name: string): void {
    const row = this.#progress.qube(name);
    if (row !== undefined) showEvent({ event: 'qube', ...row, what: row.what ?? null });
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    // The final state.
    this.#tell();
  }
}
