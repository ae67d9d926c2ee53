import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { build } from 'esbuild';
import { ANSWER, type Request } from './seen.ts';

/** Milliseconds in which the driver answers, however busy the machine is. */
const PATIENCE = 60_000;

/** The sessions of this process, by the scale of their screens. */
const sessions = new Map<number, Promise<Session>>();

/**
 * A desktop without a screen, on which one window after the other is shown. Starting it takes longer than a window, so
 * the tests of a process have one; it ends with the process.
 */
export class Session {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #scale: number;
  readonly #answers: AsyncIterator<string>;
  #stderr = '';

  private constructor(child: ChildProcessWithoutNullStreams, scale: number) {
    this.#child = child;
    this.#scale = scale;
    child.stderr.on('data', (chunk: Buffer) => (this.#stderr += chunk.toString()));
    this.#answers = createInterface(child.stdout)[Symbol.asyncIterator]();
    this.#hold(false);
  }

  /** The session with a screen of this scale. */
  static of(scale: number): Promise<Session> {
    const session = sessions.get(scale) ?? Session.#start(scale);
    sessions.set(scale, session);
    return session;
  }

  static async #start(scale: number): Promise<Session> {
    const scratch = mkdtempSync(path.join(tmpdir(), 'coffer-session-'));
    const driver = path.join(scratch, 'driver');
    await build({
      ...{ entryPoints: ['test/gui/driver/main.ts'], outfile: driver, bundle: true },
      ...{
        platform: 'neutral',
        format: 'esm',
        target: 'firefox102',
        external: ['gi://*', 'system'],
      },
    });
    const screen = `-screen 0 ${1024 * scale}x${700 * scale}x24`;
    // The home has the socket of the accessibility bus, which outlives this process by a moment.
    const run = 'gjs -m "$1/driver"; rm -r "$1"';
    const child = spawn(
      'xvfb-run',
      ['-a', '-s', screen, 'dbus-run-session', '--', 'sh', '-c', run, 'sh', scratch],
      // No window knows the settings of another.
      {
        env: { ...process.env, HOME: scratch, LC_ALL: 'C.UTF-8', GSETTINGS_BACKEND: 'memory' },
        detached: true,
      },
    );
    const session = new Session(child, scale);
    await session.ask({ ask: 'look' });
    return session;
  }

  /** Sends a request to the driver, and returns its answer. */
  async ask(request: Request): Promise<unknown> {
    this.#hold(true);
    try {
      this.#child.stdin.write(`${JSON.stringify(request)}\n`);
      const timeout = AbortSignal.timeout(PATIENCE);
      for (;;) {
        const line = await Promise.race([this.#answers.next(), aborted(timeout)]);
        if (line === undefined) throw this.#silent(request);
        if (line.done === true) throw new Error(`the desktop ended: ${this.#stderr}`);
        // The accessibility bus prints, too, even in the same line.
        const at = line.value.indexOf(ANSWER);
        if (at >= 0) return JSON.parse(line.value.slice(at + ANSWER.length));
      }
    } finally {
      this.#hold(false);
    }
  }

  /** It says nothing more, so the next test has another one. */
  #silent({ ask }: Request): Error {
    sessions.delete(this.#scale);
    const { pid } = this.#child;
    if (pid !== undefined) process.kill(-pid);
    return new Error(`the desktop does not answer "${ask}": ${this.#stderr}`);
  }

  /** Sets whether the session keeps this process alive. */
  #hold(isWaiting: boolean): void {
    const { stdin, stdout, stderr } = this.#child as unknown as Record<string, Socket>;
    for (const each of [this.#child, stdin, stdout, stderr]) {
      if (isWaiting) each?.ref();
      else each?.unref();
    }
  }
}

function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(undefined)));
}
