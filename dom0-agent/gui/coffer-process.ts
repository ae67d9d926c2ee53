import Gio from 'gi://Gio?version=2.0';
import GLib from 'gi://GLib?version=2.0';
import type { Event } from '../cli/events.ts';
import { collectGarbage } from './collect-garbage.ts';

Gio._promisify(Gio.DataInputStream.prototype, 'read_line_async', 'read_line_finish');
Gio._promisify(Gio.OutputStream.prototype, 'write_all_async', 'write_all_finish');
Gio._promisify(Gio.Subprocess.prototype, 'wait_async', 'wait_finish');

const SIGINT = 2;
/** How many characters of standard error are kept. */
const LONGEST_TAIL = 4096;

/** How a coffer process ended. */
export interface Ended {
  /** Undefined if it was killed by a signal. */
  readonly exitStatus: number | undefined;
  /** The end of its standard error. */
  readonly stderrTail: string;
}

/**
 * `coffer COMMAND … --json --questions`, started for a window: docs/json.md describes its events. Iterate over them
 * once, to the end; then call `ended`.
 */
export class CofferProcess implements AsyncIterable<Event> {
  readonly #process: Gio.Subprocess;
  readonly #stderrTail: Promise<string>;

  /**
   * @param program the words that start coffer
   * @param command the name of a command and its arguments
   * @param environment variables in addition to those of the window
   * @throws GLib.Error when the program cannot be started
   */
  constructor(
    program: readonly string[],
    command: readonly string[],
    environment: Readonly<Record<string, string>> = {},
  ) {
    const { STDIN_PIPE, STDOUT_PIPE, STDERR_PIPE } = Gio.SubprocessFlags;
    const [name = '', ...options] = command;
    const words = [...program, name, '--json', '--questions', ...options];
    const launcher = new Gio.SubprocessLauncher({ flags: STDIN_PIPE | STDOUT_PIPE | STDERR_PIPE });
    for (const [variable, value] of Object.entries(environment)) {
      launcher.setenv(variable, value, true);
    }
    this.#process = launcher.spawnv(words);
    this.#stderrTail = tailOf(this.#process.get_stderr_pipe());
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Event, void, undefined> {
    for await (const line of linesOf(this.#process.get_stdout_pipe())) {
      yield JSON.parse(line) as Event;
    }
  }

  /**
   * Answers a question. The text may be a passphrase, and goes nowhere else. If the process has ended, nothing happens:
   * its last event says why.
   */
  async answer(text: string): Promise<void> {
    const bytes = new TextEncoder().encode(`${text}\n`);
    try {
      await this.#process.get_stdin_pipe()?.write_all_async(bytes, GLib.PRIORITY_DEFAULT, null);
    } catch (error) {
      if (!isBrokenPipe(error)) throw error;
    } finally {
      bytes.fill(0);
    }
  }

  /** Asks the process to clean up and end; it sends events until it has ended. */
  interrupt(): void {
    this.#process.send_signal(SIGINT);
  }

  /** Resolves with how the process ended, once it has. */
  async ended(): Promise<Ended> {
    await this.#process.wait_async(null);
    const exitStatus = this.#process.get_if_exited() ? this.#process.get_exit_status() : undefined;
    return { exitStatus, stderrTail: await this.#stderrTail };
  }
}

function isBrokenPipe(error: unknown): boolean {
  return error instanceof GLib.Error && error.matches(Gio.IOErrorEnum, Gio.IOErrorEnum.BROKEN_PIPE);
}

async function* linesOf(stream: Gio.InputStream | null): AsyncGenerator<string, void, undefined> {
  if (stream === null) return;
  const lines = new Gio.DataInputStream({ baseStream: stream });
  const decoder = new TextDecoder();
  for (;;) {
    const [line] = await lines.read_line_async(GLib.PRIORITY_DEFAULT, null);
    if (line === null) return;
    yield decoder.decode(line);
    collectGarbage(line.length);
  }
}

async function tailOf(stream: Gio.InputStream | null): Promise<string> {
  let tail = '';
  for await (const line of linesOf(stream)) tail = `${tail}${line}\n`.slice(-LONGEST_TAIL);
  return tail.trim();
}
