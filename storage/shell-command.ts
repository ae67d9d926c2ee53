import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { LONGEST_LAST_WORDS } from '../protocol/limits.ts';
import { CleanupProcess } from '../shared/cleanup-process.ts';
import { reasonOf, systemCodeOf } from '../shared/errors.ts';
import { holdOutput } from '../shared/hold-output.ts';
import { StderrTail } from '../shared/stderr-tail.ts';
import type { ByteSource, ByteTarget } from './byte-streams.ts';
import { StorageProblem } from './storage-problem.ts';
import type { CommandEnd } from './storage-problem.ts';

/** A command that is told to end has so long, in milliseconds, before it is killed. */
const GRACE = 2_000;

/** After a command has ended, its standard error may take so long to arrive, in milliseconds. */
const LAST_WORDS_WAIT = 200;

/**
 * A command line run by `/bin/sh -c`, in a process group of its own, so that all of it can be
 * ended. It inherits the environment.
 */
class ShellCommand {
  readonly #child: ChildProcess;
  readonly #ended: Promise<CommandEnd>;
  #cleanup: CleanupProcess | undefined;

  constructor(command: string, stdin: 'pipe' | 'ignore', stdout: 'pipe' | 'ignore') {
    const child = spawn('/bin/sh', ['-c', command], {
      stdio: [stdin, stdout, 'pipe'],
      detached: true,
    });
    this.#child = child;
    if (child.pid !== undefined) this.#cleanup = CleanupProcess.toKillGroup(child.pid);
    this.#ended = endOf(child);
  }

  get stdin(): Writable {
    return present(this.#child.stdin);
  }

  get stdout(): Readable {
    return present(this.#child.stdout);
  }

  /** Waits for the end of the command. Throws StorageProblem unless it was a good one. */
  async requireGoodEnd(): Promise<void> {
    const end = await this.#ended;
    this.#cleanup?.cancel();
    this.#cleanup = undefined;
    if (end.exitStatus !== 0) throw new StorageProblem('COMMAND_FAILED', describe(end), end);
  }

  /**
   * Ends the command and all that it started: politely, then by force. Its input ends only after that: a
   * command that saw the end of a stream which was cut short would take it for whole.
   */
  async stop(): Promise<void> {
    const { pid } = this.#child;
    if (pid !== undefined && this.#cleanup !== undefined) {
      const deadline = performance.now() + GRACE;
      let isThere = signalGroup(pid, 'SIGTERM');
      while (isThere && performance.now() < deadline) {
        await sleep(20);
        isThere = signalGroup(pid, 0);
      }
      if (isThere) signalGroup(pid, 'SIGKILL');
    }
    this.#child.stdin?.destroy();
    this.#child.stdout?.destroy();
    await this.#ended;
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

function endOf(child: ChildProcess): Promise<CommandEnd> {
  const words = new StderrTail(present(child.stderr), LONGEST_LAST_WORDS);
  return new Promise((resolve) => {
    const closed = new Promise<void>((isClosed) => child.once('close', () => isClosed()));
    child.once('error', (error) =>
      resolve({ exitStatus: undefined, signal: '', lastWords: reasonOf(error) }),
    );
    // What the command left in the background may hold its standard error open for ever.
    child.once('exit', (code, signal) => {
      const wait = sleep(LAST_WORDS_WAIT, undefined, { ref: false });
      void Promise.race([closed, wait]).then(() => {
        child.stderr?.destroy();
        resolve({ exitStatus: code ?? undefined, signal: signal ?? '', lastWords: words.text });
      });
    });
  });
}

function describe({ exitStatus, signal }: CommandEnd): string {
  if (signal !== '') return `it was ended by ${signal}`;
  return exitStatus === undefined ? 'it did not start' : `it ended with status ${exitStatus}`;
}

/** Whether the group is still there. */
function signalGroup(leader: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-leader, signal);
  } catch (error) {
    if (systemCodeOf(error) === 'ESRCH') return false;
    // EPERM: there, but it has become another user's.
    if (systemCodeOf(error) === 'EPERM') return false;
    throw error;
  }
}

function present<T>(stream: T | null): T {
  if (stream === null) throw new Error('a command has no such stream');
  return stream;
}
