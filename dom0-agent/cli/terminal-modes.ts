import { spawnSync } from 'node:child_process';
import { RefusedError } from '../../shared/errors.ts';
import { isInForeground } from './job-control.ts';

/** With these modes, line editing, Enter, Ctrl-C and Ctrl-Z work, whatever was set before. */
const LINES = ['icanon', 'icrnl', 'isig', 'iexten'];

/**
 * The modes of a terminal during a question. The former ones are restored when this is disposed of, when coffer ends,
 * and while it is stopped; the new ones are set again when it continues.
 */
export class TerminalModes implements Disposable {
  readonly #terminal: number;
  readonly #onContinue: () => void;
  readonly #former: string;
  #echo: 'echo' | '-echo' | undefined;

  /**
   * @param terminal a descriptor of the terminal
   * @param onContinue called when coffer continues after it was stopped
   */
  constructor(terminal: number, onContinue: () => void) {
    this.#terminal = terminal;
    this.#onContinue = onContinue;
    this.#former = stty(terminal, ['-g']);
    process.on('exit', this.#restore);
    process.on('SIGTSTP', this.#stop);
    process.on('SIGCONT', this.#continue);
    process.on('SIGQUIT', this.#quit);
  }

  /** Sets whether what is typed is shown. */
  set(echo: 'echo' | '-echo'): void {
    if (this.#echo === echo) return;
    stty(this.#terminal, [...LINES, echo]);
    this.#echo = echo;
  }

  readonly #restore = (): void => {
    try {
      // In the background the terminal belongs to the shell, and stty would be stopped.
      if (this.#echo !== undefined && isInForeground()) stty(this.#terminal, [this.#former]);
    } catch {
      // The terminal no longer exists.
    }
  };

  readonly #stop = (): void => {
    this.#restore();
    process.kill(process.pid, 'SIGSTOP');
  };

  readonly #continue = (): void => {
    if (this.#echo === undefined || !isInForeground()) return;
    try {
      stty(this.#terminal, [...LINES, this.#echo]);
    } catch {
      // The terminal no longer exists: reading from it will fail.
    }
    this.#onContinue();
  };

  readonly #quit = (): void => {
    this.#restore();
    process.off('SIGQUIT', this.#quit);
    process.kill(process.pid, 'SIGQUIT');
  };

  [Symbol.dispose](): void {
    this.#restore();
    process.off('exit', this.#restore);
    process.off('SIGTSTP', this.#stop);
    process.off('SIGCONT', this.#continue);
    process.off('SIGQUIT', this.#quit);
  }
}

/**
 * Runs stty. In Node's raw mode, the program would have to handle editing, signals and job control itself; with stty,
 * the kernel still does. Throws RefusedError.
 */
function stty(terminal: number, args: readonly string[]): string {
  const { status, stdout } = spawnSync('stty', args, {
    stdio: [terminal, 'pipe', 'ignore'],
    encoding: 'utf8',
  });
  if (status !== 0)
    throw new RefusedError('the terminal cannot be set up for a question: use -p and -y');
  return stdout.trim();
}
