import type { Readable, Writable } from 'node:stream';
import { ChildProcess, describeEnd } from '../shared/child-process.ts';
import { CleanupProcess } from '../shared/cleanup-process.ts';
import { reasonOf } from '../shared/errors.ts';
import { holdOutput } from '../shared/child-process.ts';
import type { ByteSource, ByteTarget } from './byte-streams.ts';
import { StorageProblem } from './storage-problem.ts';

/** A command that is told to end has so long, in milliseconds, before it is killed. */
const GRACE = 2_000;

/**
 * A command line run by `/bin/sh -c`, in a process group of its own, so that all of it can be
 * ended. It inherits the environment.
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

  /** Waits for the end of the command. Throws StorageProblem unless it was a good one. */
  async requireGoodEnd(): Promise<void> {
    const end = await this.#child.ended;
    this.#cleanup?.cancel();
    this.#cleanup = undefined;
    const { exitStatus, signal, notRun } = end;
    if (exitStatus === 0) return;
    const lastWords = notRun ? reasonOf(notRun) : end.untrustedStderr;
    throw new StorageProblem('COMMAND_FAILED', `it ${describeEnd(end)}`, {
      exitStatus,
      signal,
      lastWords,
    });
  }

  /**
   * Ends the command and all that it started: politely, then by force. Its input ends only after that: a
   * command that saw the end of a stream which was cut short would take it for whole.
   */
  async stop(): Promise<void> {
    if (this.#cleanup !== undefined) await this.#child.endGroup(GRACE);
    await this.#child[Symbol.asyncDispose]();
    this.#cleanup?.cancel();
    this.#cleanup = undefined;
  }
}

/** A command that takes a stream on its standard input. What it prints is dropped. */
export class CommandTarget implements ByteTarget {
  readonly path = undefined;
  readonly #command: ShellCommand;
  #taken = 0;

  constructor(command: string) {
    this.#command = new ShellCommand(command, 'pipe', 'ignore');
    // A write that fails tells it by itself.
    this.#command.stdin.on('error', () => undefined);
  }

  /** Bytes that went into the command's standard input: what it does with them, nobody knows. */
  get safeBytes(): number {
    return this.#taken;
  }

  async write(bytes: Buffer): Promise<void> {
    const isTaken = await new Promise<boolean>((resolve) => {
      this.#command.stdin.write(bytes, (error) => resolve(!error));
    });
    if (!isTaken) await this.#tellEarlyEnd();
    this.#taken += bytes.length;
  }

  async #tellEarlyEnd(): Promise<never> {
    await this.#command.requireGoodEnd();
    const end = { exitStatus: 0, signal: '', lastWords: '' };
    throw new StorageProblem('COMMAND_FAILED', 'it ended before it took all of the data', end);
  }

  async finish(): Promise<void> {
    this.#command.stdin.end();
    await this.#command.requireGoodEnd();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#command.stop();
  }
}

/** A command that gives a stream on its standard output. */
export class CommandSource implements ByteSource {
  readonly path = undefined;
  readonly size = undefined;
  readonly #command: ShellCommand;
  readonly #chunks: AsyncIterator<Buffer>;
  #rest: Buffer | undefined;

  constructor(command: string) {
    this.#command = new ShellCommand(command, 'ignore', 'pipe');
    holdOutput(this.#command.stdout);
    const output: AsyncIterable<Buffer> = this.#command.stdout;
    this.#chunks = output[Symbol.asyncIterator]();
  }

  async next(most: number): Promise<Buffer | undefined> {
    const bytes = this.#rest ?? (await this.#nextChunk());
    if (bytes === undefined) {
      await this.#command.requireGoodEnd();
      return undefined;
    }
    this.#rest = bytes.length > most ? bytes.subarray(most) : undefined;
    return bytes.subarray(0, most);
  }

  async #nextChunk(): Promise<Buffer | undefined> {
    const next: IteratorResult<Buffer, unknown> = await this.#chunks.next();
    return next.done === true ? undefined : next.value;
  }

  seek(): never {
    throw new Error('a command cannot be sought in');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#command.stop();
  }
}
