import { spawnSync } from 'node:child_process';
import { mkdtempSync, statSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const PROGRAMS = new URL('../../dist', import.meta.url).pathname;
/** In milliseconds; the machine may be busy. */
const PATIENCE = 40_000;
/** How often new output is looked for, and how often the screen is checked without any, in milliseconds. */
const [OUTPUT_INTERVAL, SCREEN_INTERVAL] = [10, 500];

/**
 * A shell script that runs `coffer` in a real terminal, tmux: what it shows is what a person sees.
 * It was chosen over node-pty, which has no screen and is compiled on each machine.
 */
export class TmuxTerminal implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'coffer-terminal-'));
  readonly #socket = join(this.directory, 'tmux');
  /** The raw output. */
  readonly #output = join(this.directory, 'output');

  /** Runs a script, which ends by printing `ENDED`, the exit status of its last command, and the terminal's modes. */
  static run(
    script: string,
    {
      columns = 80,
      rows = 24,
      shell = 'sh',
    }: { columns?: number; rows?: number; shell?: string } = {},
  ): TmuxTerminal {
    const terminal = new TmuxTerminal();
    const file = join(terminal.directory, 'script');
    writeFileSync(
      file,
      `cd '${terminal.directory}'\nPATH='${PROGRAMS}':$PATH\n${script}\n` +
        'echo "ENDED $?"\nstty -a | tr " " "\\n" | grep -Ex -e "-?(echo|icanon|isig);?"\necho MODES\nsleep 600\n',
    );
    const size = ['-x', `${columns}`, '-y', `${rows}`];
    const session = ['new-session', '-d', ...size, `exec ${shell} '${file}'`];
    writeFileSync(terminal.#output, '');
    terminal.#tmux(...session, ';', 'pipe-pane', `exec cat >'${terminal.#output}'`);
    return terminal;
  }

  /** Everything that was shown, with lines broken as on the screen. */
  get shown(): string {
    return this.#tmux('capture-pane', '-p', '-S', '-1000').trimEnd();
  }

  /** The same, with the lines that the terminal has broken joined again. */
  get joined(): string {
    return this.#tmux('capture-pane', '-p', '-J', '-S', '-1000').trimEnd();
  }

  /** Waits until a text is shown, at most so many milliseconds; returns everything that is shown. */
  async until(pattern: RegExp, patience = PATIENCE): Promise<string> {
    const deadline = performance.now() + patience;
    for (;;) {
      const { size } = statSync(this.#output);
      const { shown } = this;
      if (pattern.test(shown)) return shown;
      if (performance.now() > deadline) throw new Error(`${pattern} is not shown, but:\n${shown}`);
      await this.#moreThan(size);
    }
  }

  /** Waits for output, as reading the screen starts a program each time; not for long, as a window may be resized. */
  async #moreThan(size: number): Promise<void> {
    const deadline = performance.now() + SCREEN_INTERVAL;
    while (statSync(this.#output).size === size && performance.now() < deadline) {
      await sleep(OUTPUT_INTERVAL);
    }
  }

  /** Waits for the end of the script; returns the exit status. Checks that the terminal has its original modes. */
  async ended(patience = PATIENCE): Promise<number> {
    const shown = await this.until(/^MODES$/m, patience);
    const modes = shown.slice(shown.lastIndexOf('ENDED')).split('\n').slice(1, -1).sort();
    if (modes.join(' ') !== 'echo icanon isig') throw new Error(`the modes are ${modes.join(' ')}`);
    return Number(/^ENDED (\d+)$/m.exec(shown)?.[1]);
  }

  /** Types a text, with `\n` for Enter. */
  type(text: string, encoding: 'utf8' | 'latin1' = 'utf8'): void {
    const typed = Buffer.from(text.replaceAll('\n', '\r'), encoding);
    const bytes = Array.from(typed, (byte) => byte.toString(16));
    this.#tmux('send-keys', '-H', ...bytes);
  }

  /** `C-c` */
  press(key: string): void {
    this.#tmux('send-keys', key);
  }

  resize(columns: number, rows = 24): void {
    this.#tmux('resize-window', '-x', `${columns}`, '-y', `${rows}`);
  }

  /** Closes the window. */
  close(): void {
    this.#tmux('kill-session');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    spawnSync('tmux', ['-S', this.#socket, 'kill-server']);
    // A program that is still ending may write there.
    await rm(this.directory, { recursive: true, force: true, maxRetries: 10 });
  }

  #tmux(...args: string[]): string {
    const run = spawnSync('tmux', ['-u', '-S', this.#socket, '-f', '/dev/null', ...args], {
      encoding: 'utf8',
      env: { ...process.env, TERM: 'xterm-256color', LC_ALL: 'C.UTF-8', TMUX: '' },
    });
    if (run.status !== 0) throw new Error(`tmux ${args.join(' ')}: ${run.stderr}`);
    return run.stdout;
  }
}
