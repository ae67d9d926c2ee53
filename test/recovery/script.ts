import {
  type ChildProcessByStdio,
  type SpawnSyncOptionsWithStringEncoding,
  execFileSync,
  spawn,
  spawnSync,
} from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { AS_ROOT } from '../other-user.ts';
import { removeTree } from '../remove-tree.ts';
import { runDirectory } from '../test-run.ts';
import { PASSPHRASE } from './backups.ts';

export const SCRIPT = fileURLToPath(new URL('../../recover.sh', import.meta.url));

/**
 * The shells that recover.sh supports, each with the awk of the systems that have it: mawk of Debian, gawk of
 * Fedora, and busybox's own awk, sed, head and so on.
 */
export const SHELLS = ['dash', 'bash --posix', 'busybox sh'];

/** Programs that busybox may include, but without what recover.sh needs. */
const NOT_OF_BUSYBOX = ['tar', 'gzip', 'xz', 'bzip2'];

export interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program in some directory, with additions to the environment, until it ends. */
export async function run(
  program: string,
  args: readonly string[],
  { cwd, input, env }: { cwd: string; input: string; env: NodeJS.ProcessEnv },
): Promise<Outcome> {
  const child = spawn(program, args, { cwd, env: { ...process.env, ...env } });
  // The program may end before it has read everything.
  child.stdin.on('error', () => undefined).end(input);
  const ended = once(child, 'close') as Promise<[number | null]>;
  const [stdout, stderr, [status]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    ended,
  ]);
  return { status, stdout, stderr };
}

/** A directory with a backup, in which recover.sh runs. */
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
    this.passphraseFile(Buffer.from(`${text}\nnot this line\n`));
  }

  passphraseFile(content: Buffer): void {
    writeFileSync(this.#inside('passphrase'), content);
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

  /** Starts recover.sh as `recover` does, without waiting for its end. */
  recoverMeanwhile(...what: string[]): Promise<Outcome> {
    const [program = '', ...options] = this.#shell;
    const args = [...options, SCRIPT, '-p', 'passphrase', 'a backup', 'out', ...what];
    return run(program, args, { ...this.#surroundings(), input: '' });
  }

  /** Runs recover.sh with this standard input. */
  runWith(input: string, ...args: string[]): Outcome {
    return this.#spawn([...this.#shell, SCRIPT, ...args], input);
  }

  /** Runs recover.sh on a terminal, and types `typed`; stdout is what the terminal shows. */
  runOnTerminal(typed: string, ...args: string[]): Outcome {
    const command = [...this.#shell, SCRIPT, ...args].map((word) => `'${word}'`).join(' ');
    return this.#spawn(['script', '-qec', command, '/dev/null'], typed);
  }

  /** Recovers everything with a limit of 100 KiB for files, which fails as on a full disk. */
  recoverWithoutSpace(): Outcome {
    const limit = ['sh', '-c', 'ulimit -f 200; exec "$0" "$@"'];
    const args = [SCRIPT, '-p', 'passphrase', 'a backup', 'out'];
    return this.#spawn([...limit, ...this.#shell, ...args], '');
  }

  /** Recovers everything with standard error closed. */
  recoverWithoutStandardError(): Outcome {
    const args = [SCRIPT, '-p', 'passphrase', 'a backup', 'out'];
    return this.#spawn(['sh', '-c', 'exec "$0" "$@" 2>&-', ...this.#shell, ...args], '');
  }

  /** Runs recover.sh with only these programs in its PATH. */
  runWithPrograms(programs: readonly string[], ...args: string[]): Outcome {
    const bin = this.#inside('few programs');
    mkdirSync(bin);
    for (const program of programs) symlinkSync(programPath(program), path.join(bin, program));
    const [shell = '', ...options] = this.#shell;
    return this.#spawn([programPath(shell), ...options, SCRIPT, ...args], '', { PATH: bin });
  }

  /** Runs recover.sh while a file system of `size` bytes is mounted on `directory`. */
  runWithMount(directory: string, size: string, ...args: string[]): Outcome {
    const at = this.#inside(directory);
    mkdirSync(at, { recursive: true });
    const mounting = `mount -t tmpfs -o size=${size} none "$0" && exec "$@"`;
    return this.#spawn([...AS_ROOT, 'sh', '-c', mounting, at, ...this.#shell, SCRIPT, ...args], '');
  }

  /** Runs recover.sh, and logs the programs that it executes, with their arguments, to `trace`. */
  trace(trace: string, ...args: string[]): Outcome {
    const strace = ['strace', '-f', '-s', '4000', '-v', '-e', 'trace=execve', '-o', trace];
    return this.#spawn([...strace, ...this.#shell, SCRIPT, ...args], '');
  }

  /** Starts to recover everything, in a process group of its own, as a terminal would. */
  start(): ChildProcessByStdio<null, Readable, null> {
    const [program = 'sh', ...options] = this.#shell;
    const args = [...options, SCRIPT, '-p', 'passphrase', 'a backup', 'out'];
    const surroundings = { ...this.#surroundings(), detached: true };
    return spawn(program, args, { ...surroundings, stdio: ['ignore', 'pipe', 'ignore'] });
  }

  #spawn([program = '', ...args]: string[], input: string, env: NodeJS.ProcessEnv = {}): Outcome {
    const surroundings = this.#surroundings();
    const options: SpawnSyncOptionsWithStringEncoding = {
      cwd: surroundings.cwd,
      env: { ...surroundings.env, ...env },
      encoding: 'utf8',
      input,
    };
    const { status, stdout, stderr } = spawnSync(program, args, options);
    return { status, stdout, stderr };
  }

  /** The path of a recovered file. */
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

  /** The files that recover.sh left in the directory for temporary files. */
  leftovers(): string[] {
    return readdirSync(this.#inside('tmp'));
  }

  removeTemporaryDirectory(): void {
    rmSync(this.#inside('tmp'), { recursive: true });
  }

  write(file: string, content: string | Buffer): void {
    writeFileSync(this.#inside(file), content);
  }

  [Symbol.dispose](): void {
    removeTree(this.#directory);
  }

  #inside(...names: string[]): string {
    return path.join(this.#directory, ...names);
  }

  #surroundings(): { cwd: string; env: NodeJS.ProcessEnv } {
    const PATH = `${programsFor(this.#shell[0] ?? '')}:${process.env['PATH'] ?? ''}`;
    return { cwd: this.#directory, env: { ...process.env, PATH, TMPDIR: this.#inside('tmp') } };
  }
}

/** A directory of the programs for a shell, made once for all tests. */
export function programsFor(shell: string): string {
  const bin = path.join(runDirectory(), `programs-of-${shell}`);
  if (existsSync(bin)) return bin;
  const made = mkdtempSync(`${bin}-`);
  if (shell === 'busybox') writeBusyboxPrograms(made);
  else symlinkSync(programPath(shell === 'bash' ? 'gawk' : 'mawk'), path.join(made, 'awk'));
  try {
    renameSync(made, bin);
  } catch {
    // Another process was quicker.
    rmSync(made, { recursive: true });
  }
  return bin;
}

function writeBusyboxPrograms(bin: string): void {
  const busybox = programPath('busybox');
  const applets = execFileSync(busybox, ['--list'], { encoding: 'utf8' }).split('\n');
  for (const applet of applets) {
    if (applet !== '' && !NOT_OF_BUSYBOX.includes(applet)) {
      symlinkSync(busybox, path.join(bin, applet));
    }
  }
}

function programPath(program: string): string {
  const command = ['-c', 'command -v "$0"', program];
  return execFileSync('sh', command, { encoding: 'utf8' }).trim();
}
