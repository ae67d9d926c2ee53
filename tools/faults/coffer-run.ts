import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Dice } from './dice.ts';
import type { Ending } from './faults.ts';
import type { CommandLine } from './world.ts';
import { runServedMeanwhile } from '../../test/cli/served-coffer.ts';

/** After this time, in ms, a run of coffer is considered to hang, and is killed. */
const TIMEOUT = 60_000;
/** How long `moment` waits, in ms. */
const MOMENT = 3;

/** Runs coffer to its end without a fault, in a process that was started earlier, which saves time. */
export async function runUndisturbed(
  { argv, env }: CommandLine,
  directory: string,
): Promise<{ ending: Ending; said: string }> {
  const start = { words: argv.slice(1), directory, environment: env };
  const { status, stdout, stderr } = await runServedMeanwhile(start);
  return { ending: status ?? 'SIGKILL', said: stdout + stderr };
}

/** A run of coffer in a process of its own, in which a fault may strike. */
export class CofferRun {
  readonly ended: Promise<Ending>;
  readonly #child: ChildProcessByStdio<null, Readable, Readable>;
  readonly #begun = performance.now();
  /** How long such a run usually takes, in ms. */
  readonly #usual: number;
  #said = '';
  #isOver = false;
  #hangs = false;

  constructor({ argv, env }: CommandLine, directory: string, usual: number) {
    const [program = '', ...args] = argv;
    this.#usual = usual;
    this.#child = spawn(program, args, {
      cwd: directory,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    for (const output of [this.#child.stdout, this.#child.stderr]) {
      output.setEncoding('utf8').on('data', (text: string) => (this.#said += text));
    }
    const timer = setTimeout(() => {
      this.#hangs = true;
      this.#child.kill('SIGKILL');
    }, TIMEOUT);
    this.ended = new Promise((resolve, reject) => {
      this.#child.once('error', reject);
      this.#child.once('exit', (status, signal) => {
        clearTimeout(timer);
        this.#isOver = true;
        resolve(status ?? signal ?? 'SIGKILL');
      });
    });
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Whether it had to be killed because it did not end. */
  get hangs(): boolean {
    return this.#hangs;
  }

  /** Its standard output and standard error. */
  get said(): string {
    return this.#said;
  }

  get milliseconds(): number {
    return performance.now() - this.#begun;
  }

  /** Waits for a random point of the run; returns false if it ended before that. */
  async until(dice: Dice): Promise<boolean> {
    await Promise.race([sleep(dice.next() * this.#usual), this.ended]);
    return !this.#isOver;
  }

  async moment(): Promise<void> {
    await sleep(MOMENT);
  }

  closeOutput(): void {
    this.#child.stdout.destroy();
    this.#child.stderr.destroy();
  }
}
