import { spawn, type ChildProcess as NodeChild, type SpawnOptions } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { FailedError, reasonOf, systemCodeOf } from './errors.ts';
import { KiB } from './sizes.ts';

/** So much of the end of a program's standard error is kept, in bytes. */
export const LONGEST_STDERR_TAIL = 4 * KiB;

/** What a program left in the background may hold its standard error open for so long, in milliseconds. */
const STDERR_WAIT = 200;

/** How a program ended. */
export interface ChildEnd {
  /** undefined when a signal ended it, or it did not start. */
  readonly exitStatus: number | undefined;
  /** The name of the signal that ended it, or the empty string. */
  readonly signal: string;
  /** Why it did not start; see `whyNotRun`. */
  readonly notRun: Error | undefined;
  /** The end of its standard error, without space around it. Not fit to be shown: see `printable`. */
  readonly untrustedStderr: string;
}

export interface ChildOptions extends Pick<SpawnOptions, 'cwd' | 'env' | 'uid' | 'gid'> {
  /** Default: there is nothing to read. */
  readonly stdin?: 'pipe' | 'ignore';
  /** Default: `pipe`, which has to be read, or else the program stands still. */
  readonly stdout?: 'pipe' | 'ignore';
  /** A descriptor of ours that it gets as its number 3. */
  readonly descriptor3?: number;
  /** Kills it. */
  readonly signal?: AbortSignal;
}

/**
 * A program that runs in a process group of its own: an interrupt at the terminal is for coffer, which
 * ends or awaits its programs as is right for each. When it is disposed of it is killed and awaited.
 */
export class ChildProcess implements AsyncDisposable {
  /** Resolves when it has ended, and its standard error has. Never rejects. */
  readonly ended: Promise<ChildEnd>;
  /** What it has said so far. */
  readonly stderrTail: StderrTail;
  readonly #child: NodeChild;

  /** @param command the program and its arguments, behind a prefix such as `sudo -n --`, if need be */
  constructor(command: readonly string[], options: ChildOptions = {}) {
    const { stdin = 'ignore', stdout = 'pipe', descriptor3, ...others } = options;
    const [program = '', ...args] = command;
    this.#child = spawn(program, args, {
      ...others,
      stdio: [stdin, stdout, 'pipe', ...(descriptor3 === undefined ? [] : [descriptor3])],
      detached: true,
      killSignal: 'SIGKILL',
    });
    // It tells of a program that did not start, and `ended` does, too.
    this.#child.on('error', () => undefined);
    this.stderrTail = new StderrTail(this.stderr, LONGEST_STDERR_TAIL);
    this.ended = endOf(this.#child, this.stderrTail);
    // That a program takes no more shows in how it ends.
    this.#child.stdin?.on('error', () => undefined);
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
    return present(this.#child.stdin);
  }

  get stdout(): Readable {
    return present(this.#child.stdout);
  }

  /** Whoever needs more of it than its end reads it from the start. */
  get stderr(): Readable {
    return present(this.#child.stderr);
  }

  /** Whether it has ended, and not with status 0. */
  get hasFailed(): boolean {
    const { exitCode, signalCode } = this.#child;
    return signalCode !== null || (exitCode !== null && exitCode !== 0);
  }

  /** Ends all of its group: politely and, after `grace` milliseconds, by force. */
  async endGroup(grace: number): Promise<void> {
    const { pid } = this;
    if (pid === undefined) return;
    const deadline = performance.now() + grace;
    let isThere = signalGroup(pid, 'SIGTERM');
    while (isThere && performance.now() < deadline) {
      await sleep(20);
      isThere = signalGroup(pid, 0);
    }
    if (isThere) signalGroup(pid, 'SIGKILL');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // One that root runs cannot be killed, but ends when nobody reads what it writes.
    this.#child.stdout?.destroy();
    this.#child.kill('SIGKILL');
    this.#child.stdin?.destroy();
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
  // EACCES: where this user may look for none.
  return ['ENOENT', 'EACCES'].includes(systemCodeOf(notRun) ?? '')
    ? `${program} is not installed here`
    : `${program} cannot be run: ${reasonOf(notRun)}`;
}

function endOf(child: NodeChild, tail: StderrTail): Promise<ChildEnd> {
  return new Promise((resolve) => {
    child.on('error', (notRun) => {
      // Later ones say that it was killed by our signal, or cannot be killed.
      if (child.pid !== undefined) return;
      resolve({ exitStatus: undefined, signal: '', notRun, untrustedStderr: '' });
    });
    child.once('exit', (code, signal) => {
      const wait = sleep(STDERR_WAIT, undefined, { ref: false });
      void Promise.race([tail.ended, wait])
        // However late the timer was, what the program itself wrote has been read by then.
        .then(() => setImmediate())
        .then(() => {
          child.stderr?.destroy();
          const end = { exitStatus: code ?? undefined, signal: signal ?? '', notRun: undefined };
          resolve({ ...end, untrustedStderr: tail.text });
        });
    });
  });
}

/** Whether the group is still there. */
function signalGroup(leader: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-leader, signal);
  } catch (error) {
    // EPERM: there, but it has become another user's.
    if (['ESRCH', 'EPERM'].includes(systemCodeOf(error) ?? '')) return false;
    throw error;
  }
}

/** Node makes no pipes when there are too many descriptors. */
function present<T>(stream: T | null | undefined): T {
  if (stream) return stream;
  throw new FailedError('a program cannot be run: it has no such pipe, or too many files are open');
}

/** Reads a stream to its end, whatever its length, and keeps only the last bytes. */
export class StderrTail {
  /** Resolves when there is no more to come. Never rejects. */
  readonly ended: Promise<void>;
  #kept = Buffer.alloc(0);

  constructor(stream: Readable, longest: number) {
    // Text, when another reader of the stream has set its encoding.
    stream.on('data', (chunk: Buffer | string) => {
      this.#kept = Buffer.concat([this.#kept, Buffer.from(chunk)]).subarray(-longest);
    });
    // A stream that breaks off simply ends here.
    stream.on('error', () => undefined);
    this.ended = new Promise((resolve) => stream.once('close', () => resolve()));
  }

  get text(): string {
    return this.#kept.toString('utf8').trim();
  }
}

/**
 * Keeps what a child process has written until somebody reads it. Otherwise Node throws it away
 * when the process ends before the reading begins: it takes a stream without a listener for one
 * that nobody wants.
 */
export function holdOutput(stdout: Readable): void {
  stdout.on('readable', () => undefined);
}
