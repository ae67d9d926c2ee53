import { execFileSync, spawn } from 'node:child_process';
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  read,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { availableParallelism, tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { withPreloaded } from '../test-run.ts';

const SERVER = fileURLToPath(new URL('coffer-server.cjs', import.meta.url));
const COFFER = fileURLToPath(new URL('../../dist/coffer', import.meta.url));
const CLOCK = fileURLToPath(new URL('fixed-clock.cjs', import.meta.url));

/** The result of a run of coffer. */
export interface Run {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** How a run of coffer is started. Its standard input is empty, and it has no terminal. */
interface Start {
  readonly words: readonly string[];
  readonly directory: string;
  readonly environment: NodeJS.ProcessEnv;
}

/**
 * Runs the built coffer in a process that has already started. Tests of a program's start, its end, or signals run
 * dist/coffer instead.
 */
export function runServed(start: Start): Run {
  server ??= new CofferServer();
  return server.run(start);
}

/** The same, asynchronously. */
export function runServedMeanwhile(start: Start): Promise<Run> {
  server ??= new CofferServer();
  return server.runMeanwhile(start);
}

/** Whether a run can be served now: its variables may preload only the fixed clock, and not change the locale. */
export function canBeServed({ NODE_OPTIONS, LC_ALL }: NodeJS.ProcessEnv): boolean {
  const isOnlyClock = NODE_OPTIONS === undefined || NODE_OPTIONS === withPreloaded(CLOCK);
  return isOnlyClock && (LC_ALL ?? 'C.UTF-8') === 'C.UTF-8' && server?.isBusy !== true;
}

/**
 * Makes malloc return freed memory to the system at once. Each program that coffer starts begins as a fork of the process,
 * which takes longer the more memory that has: half of the system time went into that.
 */
const SMALL = { MALLOC_MMAP_THRESHOLD_: '131072', MALLOC_TRIM_THRESHOLD_: '131072' };

/** One for each process of the tests. */
let server: CofferServer | undefined;

/** coffer-server.cjs, and the pipes to it. It ends with this process. */
class CofferServer {
  isBusy = false;
  readonly #requests: number;
  readonly #answers: number;

  constructor() {
    const requests = makePipe();
    const answers = makePipe();
    const options = ['--no-incremental-marking', '--max-semi-space-size=2'];
    spawn(process.execPath, [...options, SERVER, COFFER], {
      // A session of its own has no terminal, even if the tests are run on one.
      detached: true,
      stdio: ['ignore', 'inherit', 'inherit', requests.reading, answers.writing],
      env: { ...process.env, ...SMALL, UV_THREADPOOL_SIZE: `${2 * availableParallelism() + 2}` },
    }).unref();
    closeSync(requests.reading);
    closeSync(answers.writing);
    this.#requests = requests.writing;
    this.#answers = answers.reading;
  }

  run(start: Start): Run {
    this.#ask(start);
    const answer = new Line();
    while (!answer.isWhole) {
      const piece = Buffer.alloc(65_536);
      answer.add(piece.subarray(0, readSync(this.#answers, piece)));
    }
    return this.#taken(answer);
  }

  async runMeanwhile(start: Start): Promise<Run> {
    this.#ask(start);
    const answer = new Line();
    while (!answer.isWhole) {
      const piece = Buffer.alloc(65_536);
      const { bytesRead } = await promisify(read)(this.#answers, piece, 0, piece.length, null);
      answer.add(piece.subarray(0, bytesRead));
    }
    return this.#taken(answer);
  }

  #ask(start: Start): void {
    if (this.isBusy) throw new Error('a run of coffer goes on already');
    this.isBusy = true;
    let bytes = Buffer.from(`${JSON.stringify(start)}\n`);
    while (bytes.length > 0) bytes = bytes.subarray(writeSync(this.#requests, bytes));
  }

  #taken(answer: Line): Run {
    this.isBusy = false;
    const run = JSON.parse(answer.text) as Run;
    if (run.status === null) server = undefined;
    return run;
  }
}

/** Both ends of a named pipe. */
function makePipe(): { reading: number; writing: number } {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-pipe-'));
  const path = join(directory, 'pipe');
  execFileSync('mkfifo', [path]);
  // With both ends open, opening one does not wait for the other.
  const both = openSync(path, constants.O_RDWR);
  const ends = { reading: openSync(path, 'r'), writing: openSync(path, 'w') };
  closeSync(both);
  rmSync(directory, { recursive: true });
  return ends;
}

/** A line that arrives in pieces. */
class Line {
  readonly #pieces: Buffer[] = [];

  add(piece: Buffer): void {
    if (piece.length === 0) throw new Error('the process that runs coffer has ended');
    this.#pieces.push(piece);
  }

  get isWhole(): boolean {
    return this.#pieces.at(-1)?.at(-1) === 0x0a;
  }

  get text(): string {
    return Buffer.concat(this.#pieces).toString();
  }
}
