import { spawnSync } from 'node:child_process';
import { RefusedError } from '../../shared/errors.ts';
import { isInForeground } from './job-control.ts';

/** Lines can be edited, Enter ends them, and Ctrl-C and Ctrl-Z work, whatever was set before. */
const LINES = ['icanon', 'icrnl', 'isig', 'iexten'];

/**
 * The modes of a terminal while something is asked. They are put back when this is disposed of, when coffer
 * ends, and while it is stopped; and set anew when it goes on.
 */
export class TerminalModes implements Disposable {
  readonly #terminal: number;
  readonly #onContinue: () => void;
  readonly #former: string;
  #echo: 'echo' | '-echo' | undefined;

  /**
   * @param terminal a descriptor of the terminal
   * @param onContinue called when coffer goes on after it was stopped
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

  /** Whether what is typed is shown. */
  set(echo: 'echo' | '-echo'): void {
    if (this.#echo === echo) return;
    stty(this.#terminal, [...LINES, echo]);
    this.#echo = echo;
  }

  readonly #restore = (): void => {
    try {
      // In the background it is the shell's terminal, and stty would be stopped.
      if (this.#echo !== undefined && isInForeground()) stty(this.#terminal, [this.#former]);
    } catch {
      // The terminal is gone.
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
      // The terminal is gone: reading from it tells.
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

/** Node's own raw mode leaves editing, signals and job control to the program; stty leaves them to the kernel. */
function stty(terminal: number, args: readonly string[]): string {
  const { status, stdout } = spawnSync('stty', args, {
    stdio: [terminal, 'pipe', 'ignore'],
    encoding: 'utf8',
  });
  if (status !== 0)
    throw new RefusedError('the terminal cannot be set up for a question: use -p and -y');
  return stdout.trim();
}
