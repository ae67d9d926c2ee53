import type { Readable, Writable } from 'node:stream';
import { LONGEST_DATA } from '../protocol/limits.ts';
import { ByteReader } from '../shared/byte-reader.ts';
import { ChildProcess, describeEnd, holdOutput } from '../shared/child-process.ts';
import { CleanupProcess } from '../shared/cleanup-process.ts';
import { FailedError, reasonOf } from '../shared/errors.ts';
import type { LocalSink, LocalSource } from './local-streams.ts';
import { StorageFailure } from './storage-failure.ts';

/** How long a terminated command has, in milliseconds, before it is killed. */
const GRACE = 2_000;

/**
 * A command line run by `/bin/sh -c`, in its own process group, so that all of it can be terminated. It inherits the
 * environment.
 */
class ShellCommand {
  readonly #child: ChildProcess;
  #cleanup: CleanupProcess | undefined;

  constructor(command: string, stdin: 'pipe' | 'ignore', stdout: 'pipe' | 'ignore') {
    this.#child = new ChildProcess(['/bin/sh', '-c', command], { stdin, stdout });
    const { pid } = this.#child;
    if (pid !== undefined) this.#cleanup = CleanupProcess.toKillGroup(pid);
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
    throw new StorageFailure('COMMAND_FAILED', `it ${describeEnd(end)}`, {
      exitStatus,
      signal,
      stderrTail,
    });
  }

  /**
   * Terminates the command and everything it started, first with SIGTERM, then with SIGKILL. Its input is closed only
   * after that: a command that saw the end of a truncated stream would take it for complete.
   */
  async stop(): Promise<void> {
    if (this.#cleanup !== undefined) await this.#child.endGroup(GRACE);
    await this.#child[Symbol.asyncDispose]();
    this.#cleanup?.cancel();
    this.#cleanup = undefined;
  }
}

/** A command that takes a stream on its standard input. Its output is discarded. */
export class CommandSink implements LocalSink {
  readonly path = undefined;
  readonly #command: ShellCommand;
  #taken = 0;

  constructor(command: string) {
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
    const end = { exitStatus: 0, signal: '', stderrTail: '' };
    throw new StorageFailure('COMMAND_FAILED', 'it exited before it had read all of the data', end);
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

  constructor(command: string) {
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

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#command.stop();
  }
}
