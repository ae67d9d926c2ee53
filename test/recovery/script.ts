import {
  type ChildProcessByStdio,
  type SpawnSyncOptionsWithStringEncoding,
  spawn,
  spawnSync,
} from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { PASSPHRASE } from './backups.ts';

export const SCRIPT = fileURLToPath(new URL('../../recover.sh', import.meta.url));

/** The shells that recover.sh is for. */
export const SHELLS = ['dash', 'bash --posix', 'busybox sh'];

export interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A directory with a backup in it, and recover.sh at work there. */
export class Recovery {
  readonly #directory = mkdtempSync(path.join(tmpdir(), 'coffer-recovery-'));
  readonly #shell: string[];

  constructor(backup: Buffer, shell = 'dash') {
    this.#shell = shell.split(' ');
    writeFileSync(this.#inside('a backup'), backup);
    this.passphrase(PASSPHRASE);
    mkdirSync(this.#inside('tmp'));
  }

  passphrase(text: string): void {
    writeFileSync(this.#inside('passphrase'), `${text}\nnot this line\n`);
  }

  list(): Outcome {
    return this.run('-p', 'passphrase', 'a backup');
  }

  recover(...what: string[]): Outcome {
    return this.run('-p', 'passphrase', 'a backup', 'out', ...what);
  }

  run(...args: string[]): Outcome {
    return this.runWith('', ...args);
  }

  /** Runs recover.sh with something on standard input. */
  runWith(input: string, ...args: string[]): Outcome {
    return this.#spawn([...this.#shell, SCRIPT, ...args], input);
  }

  /** Runs recover.sh on a terminal on which `typed` is typed; stdout is what the terminal shows. */
  runOnTerminal(typed: string, ...args: string[]): Outcome {
    const command = [...this.#shell, SCRIPT, ...args].map((word) => `'${word}'`).join(' ');
    return this.#spawn(['script', '-qec', command, '/dev/null'], typed);
  }

  /** Recovers everything where no file can be larger than 100 KiB, as on a disk that is full. */
  recoverWithoutSpace(): Outcome {
    const limit = ['sh', '-c', 'ulimit -f 200; exec "$0" "$@"'];
    const args = [SCRIPT, '-p', 'passphrase', 'a backup', 'out'];
    return this.#spawn([...limit, ...this.#shell, ...args], '');
  }

  /** Runs recover.sh and writes the programs that are executed, with all arguments, to `trace`. */
  trace(trace: string, ...args: string[]): Outcome {
    const strace = ['strace', '-f', '-s', '4000', '-v', '-e', 'trace=execve', '-o', trace];
    return this.#spawn([...strace, ...this.#shell, SCRIPT, ...args], '');
  }

  /** Begins to recover everything, in a process group of its own, as a terminal would. */
  start(): ChildProcessByStdio<null, Readable, null> {
    const [program = 'sh', ...options] = this.#shell;
    const args = [...options, SCRIPT, '-p', 'passphrase', 'a backup', 'out'];
    const surroundings = { ...this.#surroundings(), detached: true };
    return spawn(program, args, { ...surroundings, stdio: ['ignore', 'pipe', 'ignore'] });
  }

  #spawn([program = '', ...args]: string[], input: string): Outcome {
    const options: SpawnSyncOptionsWithStringEncoding = {
      ...this.#surroundings(),
      encoding: 'utf8',
      input,
    };
    const { status, stdout, stderr } = spawnSync(program, args, options);
    return { status, stdout, stderr };
  }

  /** Where a recovered file lies. */
  pathOf(file: string): string {
    return this.#inside('out', file);
  }

  read(file: string): Buffer {
    return readFileSync(this.pathOf(file));
  }

  /** Every file below the output directory. */
  recovered(): string[] {
    const out = this.#inside('out');
    if (!existsSync(out)) return [];
    const entries = readdirSync(out, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => !entry.isDirectory())
      .map((entry) => path.relative(out, path.join(entry.parentPath, entry.name)))
      .sort();
  }

  /** What recover.sh left in the directory for temporary files. */
  leftovers(): string[] {
    return readdirSync(this.#inside('tmp'));
  }

  write(file: string, content: string): void {
    writeFileSync(this.#inside(file), content);
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #inside(...names: string[]): string {
    return path.join(this.#directory, ...names);
  }

  #surroundings(): { cwd: string; env: NodeJS.ProcessEnv } {
    return { cwd: this.#directory, env: { ...process.env, TMPDIR: this.#inside('tmp') } };
  }
}
