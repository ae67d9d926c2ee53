import { spawn, type ChildProcess as NodeChild, type SpawnOptions } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { FailedError, reasonOf, systemCodeOf } from './errors.ts';
import { endGroup } from './process-group.ts';
import { KiB } from './sizes.ts';

/** How much of the end of a program's standard error is kept, in bytes. */
export const LONGEST_STDERR_TAIL = 4 * KiB;

/** How long to wait, in milliseconds, while background processes of a program keep its standard error open. */
const STDERR_WAIT = 200;

/** How a program ended. */
export interface ChildEnd {
  /** undefined when a signal ended it, or it did not start. */
  readonly exitStatus: number | undefined;
  /** The name of the signal that ended it, or the empty string. */
  readonly signal: string;
  /** Why it did not start; see `whyNotRun`. */
  readonly notRun: Error | undefined;
  /** The end of its standard error, trimmed. Not printable: see `printable`. */
  readonly untrustedStderr: string;
}

export interface ChildOptions extends Pick<SpawnOptions, 'cwd' | 'env' | 'uid' | 'gid'> {
  /** Default: `ignore`. */
  readonly stdin?: 'pipe' | 'ignore';
  /** Keeps its standard input open after it has ended, for processes that it started; the caller destroys it. */
  readonly keepsStdin?: boolean;
  /** Default: `pipe`, which must be read, or the program blocks. */
  readonly stdout?: 'pipe' | 'ignore';
  /** A descriptor of this process that becomes its descriptor 3. */
  readonly descriptor3?: number;
  /** Kills it when it fires. */
  readonly signal?: AbortSignal;
}

/**
 * A program that runs in its own process group, so that Ctrl-C at the terminal reaches only coffer, which then
 * terminates or awaits each program as appropriate. Disposing of it kills and awaits it.
 */
export class ChildProcess implements AsyncDisposable {
  /**
   * Resolves when it has ended and its standard error has been read, or a short wait for that is over. Never rejects.
   */
  readonly ended: Promise<ChildEnd>;
  /** The end of its standard error so far. */
  readonly stderrTail: StderrTail;
  readonly #child: NodeChild;
  readonly #stdin: Writable | null;

  /** @param command the program and its arguments, preceded by a prefix such as `sudo -n --` if necessary */
  constructor(command: readonly string[], options: ChildOptions = {}) {
    const { stdin = 'ignore', stdout = 'pipe', descriptor3, keepsStdin, ...others } = options;
    const [program = '', ...args] = command;
    this.#child = spawn(program, args, {
      ...others,
      stdio: [stdin, stdout, 'pipe', ...(descriptor3 === undefined ? [] : [descriptor3])],
      detached: true,
      killSignal: 'SIGKILL',
    });
    // `ended` also reports that a program did not start.
    this.#child.on('error', () => undefined);
    this.stderrTail = new StderrTail(this.stderr, LONGEST_STDERR_TAIL);
    this.ended = endOf(this.#child, this.stderrTail);
    this.#stdin = this.#child.stdin;
    // A closed input shows in the exit status.
    this.#stdin?.on('error', () => undefined);
    // Otherwise Node destroys it when the process exits.
    if (keepsStdin === true) this.#child.stdin = null;
  }

  /** undefined when it did not start. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Why it did not start; undefined when it did. */
  async notRun(): Promise<Error | undefined> {
    return this.pid === undefined ? (await this.ended).notRun : undefined;
  }

  get stdin(): Writable {
    return present(this.#stdin);
  }

  get stdout(): Readable {
    return present(this.#child.stdout);
  }

  /** To be read from the start by callers that need more than its end. */
  get stderr(): Readable {
    return present(this.#child.stderr);
  }

  /** Whether it has ended, and not with status 0. */
  get hasFailed(): boolean {
    const { exitCode, signalCode } = this.#child;
    return signalCode !== null || (exitCode !== null && exitCode !== 0);
  }

  /** Terminates its whole process group and, after `grace` milliseconds, kills it. */
  async endGroup(grace: number): Promise<void> {
    if (this.pid !== undefined) await endGroup(this.pid, grace);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A program run by root cannot be killed, but ends when nobody reads its output.
    this.#child.stdout?.destroy();
    this.#child.kill('SIGKILL');
    this.#stdin?.destroy();
    await this.ended;
  }
}

/** In words: `was ended by SIGKILL`, `ended with status 1`. */
export function describeEnd({
  exitStatus,
  signal,
}: Pick<ChildEnd, 'exitStatus' | 'signal'>): string {
  if (signal !== '') return `was ended by ${signal}`;
  return exitStatus === undefined ? 'did not start' : `ended with status ${exitStatus}`;
}

/** Why a program did not start: `tar is not installed here`. */
export function whyNotRun(program: string, notRun: Error): string {
  // EACCES: a directory of PATH that this user may not search.
  return ['ENOENT', 'EACCES'].includes(systemCodeOf(notRun) ?? '')
    ? `${program} is not installed here`
    : `${program} cannot be run: ${reasonOf(notRun)}`;
}

function endOf(child: NodeChild, tail: StderrTail): Promise<ChildEnd> {
  return new Promise((resolve) => {
    child.on('error', (notRun) => {
      // Later errors mean that it was killed by our signal, or cannot be killed.
      if (child.pid !== undefined) return;
      resolve({ exitStatus: undefined, signal: '', notRun, untrustedStderr: '' });
    });
    child.once('exit', (code, signal) => {
      const wait = sleep(STDERR_WAIT, undefined, { ref: false });
      void Promise.race([tail.ended, wait])
        // If the event loop was busy, both may be due at once: this still reads what the program wrote.
        .then(() => setImmediate())
        .then(() => {
          child.stderr?.destroy();
          const end = { exitStatus: code ?? undefined, signal: signal ?? '', notRun: undefined };
          resolve({ ...end, untrustedStderr: tail.text });
        });
    });
  });
}

/** Node creates no pipes if there are too many open descriptors. */
function present<T>(stream: T | null | undefined): T {
  if (stream) return stream;
  throw new FailedError('a program cannot be run: it has no pipe, or too many files are open');
}

/** Reads a stream to its end, whatever its length, and keeps only the last `longest` bytes. */
export class StderrTail {
  /** Resolves at its end. Never rejects. */
  readonly ended: Promise<void>;
  #kept = Buffer.alloc(0);

  constructor(stream: Readable, longest: number) {
    // Chunks are text if another reader of the stream has set its encoding.
    stream.on('data', (chunk: Buffer | string) => {
      this.#kept = Buffer.concat([this.#kept, Buffer.from(chunk)]).subarray(-longest);
    });
    // A read error is treated as the end.
    stream.on('error', () => undefined);
    this.ended = new Promise((resolve) => stream.once('close', () => resolve()));
  }

  get text(): string {
    return this.#kept.toString('utf8').trim();
  }
}

/**
 * Keeps the output of a child process until it is read. Otherwise Node discards it when the process ends before
 * reading starts, since the stream has no listener.
 */
export function holdOutput(stdout: Readable): void {
  stdout.on('readable', () => undefined);
}
