import type { Readable, Writable } from 'node:stream';
import { LONGEST_DATA } from '../protocol/limits.ts';
import { ByteReader } from '../shared/byte-reader.ts';
import { ChildProcess, describeEnd, holdOutput } from '../shared/child-process.ts';
import { CleanupProcess } from '../shared/cleanup-process.ts';
import { FailedError, reasonOf } from '../shared/errors.ts';
import type { LocalSink, LocalSource } from './local-streams.ts';
import { type CommandEnd, StorageFailure } from './storage-failure.ts';

/** How long a terminated command has, in milliseconds, before it is killed. */
const GRACE = 2_000;

/** A command line, and how to run it. */
export interface CommandLine {
  readonly command: string;
  /** Added to our own environment. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** For errors: `asked to list cloud:backups`. */
  readonly asked?: string;
}

/** Those that may still run. */
const running = new Set<ShellCommand>();

/** Stops the commands that nobody waits for any more. To be called before the process ends. */
export async function stopCommands(): Promise<void> {
  await Promise.all([...running].map((command) => command.stop()));
}

/**
 * A command line run by `/bin/sh -c`, in its own process group, so that all of it can be terminated.
 */
class ShellCommand {
  readonly #child: ChildProcess;
  readonly #asked: string | undefined;
  #cleanup: CleanupProcess | undefined;
  #isStopping = false;

  constructor(
    { command, env, cwd, asked }: CommandLine,
    stdin: 'pipe' | 'ignore',
    stdout: 'pipe' | 'ignore',
  ) {
    const environment = env === undefined ? {} : { env: { ...process.env, ...env } };
    const place = cwd === undefined ? {} : { cwd };
    this.#asked = asked;
    this.#child = new ChildProcess(['/bin/sh', '-c', command], {
      ...{ stdin, stdout, keepsStdin: stdin === 'pipe' },
      ...environment,
      ...place,
    });
    const { pid } = this.#child;
    if (pid !== undefined) this.#cleanup = CleanupProcess.toKillGroup(pid);
    running.add(this);
    void this.#child.ended.then(() => running.delete(this));
    // What it left in the background gets no more input. But while it is being stopped, the input must not end: that
    // would look like the end of a complete stream.
    if (stdin === 'ignore') return;
    const input = this.stdin;
    void this.#child.ended.then(() => {
      if (!this.#isStopping) input.destroy();
    });
  }

  get stdin(): Writable {
    return this.#child.stdin;
  }

  get stdout(): Readable {
    return this.#child.stdout;
  }

  /** Waits for the end of the command. Throws StorageFailure unless it succeeded. */
  async requireSuccess(): Promise<void> {
    const end = await this.#child.ended;
    this.#cleanup?.cancel();
    this.#cleanup = undefined;
    const { exitStatus, signal, notRun } = end;
    if (exitStatus === 0) return;
    const stderrTail = notRun ? reasonOf(notRun) : end.untrustedStderr;
    throw this.failed(`it ${describeEnd(end)}`, { exitStatus, signal, stderrTail });
  }

  /** The error for what it did wrong. */
  failed(what: string, end: CommandEnd = { exitStatus: 0, signal: '', stderrTail: '' }): Error {
    const asked = this.#asked === undefined ? '' : `${this.#asked}, `;
    return new StorageFailure('COMMAND_FAILED', asked + what, end);
  }

  /**
   * Terminates the command and everything it started, first with SIGTERM, then with SIGKILL. Its input is closed only
   * after that: a command that saw the end of a truncated stream would take it for complete.
   */
  async stop(): Promise<void> {
    this.#isStopping = true;
    if (this.#cleanup !== undefined) await this.#child.endGroup(GRACE);
    await this.#child[Symbol.asyncDispose]();
    this.#cleanup?.cancel();
    this.#cleanup = undefined;
  }
}

/** A command that takes a stream on its standard input. Its output is discarded. */
export class CommandSink implements LocalSink {
  readonly path: string | undefined;
  readonly #command: ShellCommand;
  #taken = 0;

  /** @param path of the file that the command makes, if it is known */
  constructor(command: CommandLine, path?: string) {
    this.path = path;
    this.#command = new ShellCommand(command, 'pipe', 'ignore');
    // A write that fails reports it.
    this.#command.stdin.on('error', () => undefined);
  }

  /** Bytes written to the command's standard input; what it does with them is unknown. */
  get safeBytes(): number {
    return this.#taken;
  }

  async write(bytes: Buffer): Promise<void> {
    const isTaken = await new Promise<boolean>((resolve) => {
      this.#command.stdin.write(bytes, (error) => resolve(!error));
    });
    if (!isTaken) await this.#failEarly();
    this.#taken += bytes.length;
  }

  async #failEarly(): Promise<never> {
    await this.#command.requireSuccess();
    throw this.#command.failed('it exited before it had read all of the data');
  }

  async finish(): Promise<void> {
    this.#command.stdin.end();
    await this.#command.requireSuccess();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#command.stop();
  }
}

/** A command that gives a stream on its standard output. */
export class CommandSource implements LocalSource {
  readonly path = undefined;
  readonly size = undefined;
  readonly seekable = false;
  readonly #command: ShellCommand;
  readonly #output: ByteReader;

  constructor(command: CommandLine) {
    this.#command = new ShellCommand(command, 'ignore', 'pipe');
    holdOutput(this.#command.stdout);
    this.#output = new ByteReader(this.#command.stdout);
  }

  async *read(from = 0, to = Infinity): AsyncGenerator<Buffer, void> {
    const output = this.#output;
    if (from !== output.position)
      throw new FailedError('the output of a command can be read only once');
    while (output.position < to) {
      if (await output.ended()) return this.#command.requireSuccess();
      yield await output.atMost(Math.min(to - output.position, LONGEST_DATA));
    }
  }

  /** The error for what it did wrong. */
  failed(what: string): Error {
    return this.#command.failed(what);
  }

  /**
   * All of its output, which must have `length` bytes. The last chunk is held back until the command has succeeded, so
   * that whoever has received all bytes can rely on them.
   */
  async *exactly(length: number): AsyncGenerator<Buffer, void> {
    let [held, came] = [undefined as Buffer | undefined, 0];
    for await (const bytes of this.read()) {
      came += bytes.length;
      if (came > length) throw this.#command.failed(`it gave more than ${length} bytes`);
      if (held !== undefined) yield held;
      held = bytes;
    }
    if (came < length) throw this.#command.failed(`it gave ${came} bytes instead of ${length}`);
    if (held !== undefined) yield held;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#command.stop();
  }
}
