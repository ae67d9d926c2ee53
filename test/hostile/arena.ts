import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { expect } from 'vitest';
import { withPreloaded } from '../test-run.ts';
import { MiB } from '../../shared/sizes.ts';
import { Box, PASSPHRASE } from '../cli/box.ts';
import { NOTES_FILE, type Notes, SCRIPT_FILE, type Script, type Step } from './script.ts';
import { ready, validFrame } from './wire.ts';

/** The resident memory in bytes that coffer in dom0 may take, whatever a storage VM does. */
const MOST_MEMORY = 300 * MiB;
/** No test waits for one of the time limits of docs/protocol.md, so every run ends by then. */
const MOST_MILLISECONDS = 60_000;

/** The answer of an empty directory. */
export const NO_ENTRIES: Step = {
  say: validFrame({ kind: 'entries', entries: [], last: true, truncated: false }),
};

/** A backup lists its directory first. A script without Browse answers that honestly. */
const HONEST_LISTING: readonly Step[] = [
  ...[{ hear: 'browseRequest' }, { say: validFrame(ready()) }],
  ...[NO_ENTRIES, { end: 0 }],
];

const root = fileURLToPath(new URL('../..', import.meta.url));

/** How a run of coffer against a hostile agent went. */
export interface Bout {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly milliseconds: number;
  /** The peak of its resident memory in bytes, as the kernel counted it. */
  readonly memory: number;
}

/** A folder system whose storage VM `usb` has a hostile agent, and the built coffer against it. */
export class Arena {
  readonly box: Box;
  readonly #agent: string;

  private constructor(box: Box, agent: string) {
    this.box = box;
    this.#agent = agent;
  }

  static async open(box: Box): Promise<Arena> {
    return new Arena(box, await buildAgent());
  }

  get usbHome(): string {
    return join(this.box.directory, 'homes/usb');
  }

  /** The program that coffer runs in place of the VM agent. */
  get agent(): string {
    return this.#agent;
  }

  prepare(script: Script): void {
    writeFileSync(join(this.usbHome, SCRIPT_FILE), JSON.stringify(script));
  }

  /**
   * Runs coffer, with `-d usb` and the passphrase, against an agent that follows the script. A backup is read back only if
   * the script has steps for Fetch.
   */
  async fight(script: Script, [command = '', ...args]: readonly string[]): Promise<Bout> {
    this.prepare({ Browse: HONEST_LISTING, ...script });
    const unread = script.Fetch === undefined ? ['--no-check'] : [];
    const flags: Partial<Record<string, string[]>> = {
      backup: ['--kdf-cost', '14', '-y', ...unread],
      restore: ['-y'],
    };
    const words = [command, '-d', 'usb', ...this.box.secret, ...(flags[command] ?? []), ...args];
    return runCoffer(this.box, words, { COFFER_VM_AGENT: this.#agent });
  }

  /** What the agents of this arena saw when they were started. */
  get notes(): Notes[] {
    const lines = readFileSync(join(this.usbHome, NOTES_FILE), 'utf8').trim().split('\n');
    return lines.map((line) => JSON.parse(line) as Notes);
  }
}

/** Runs the built coffer on a folder system, without standard input. */
export async function runCoffer(
  { directory }: Pick<Box, 'directory'>,
  [command = '', ...args]: readonly string[],
  environment: NodeJS.ProcessEnv = {},
): Promise<Bout> {
  const peakFile = join(mkdtempSync(join(tmpdir(), 'coffer-peak-')), 'peak');
  const begun = performance.now();
  const child = spawn(join(root, 'dist/coffer'), [command, '--system', directory, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      NODE_OPTIONS: withPreloaded(join(root, 'test/hostile/note-peak.cjs')),
      COFFER_TEST_PEAK: peakFile,
      ...environment,
    },
  });
  const said = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said.stderr += text));
  const tooLong = setTimeout(() => child.kill('SIGKILL'), MOST_MILLISECONDS);
  const status = await new Promise<number | null>((resolve) => child.once('close', resolve));
  clearTimeout(tooLong);
  const milliseconds = performance.now() - begun;
  const memory = status === null ? NaN : Number(readFileSync(peakFile, 'utf8'));
  rmSync(dirname(peakFile), { recursive: true });
  return { status, ...said, milliseconds, memory };
}

/**
 * Checks that coffer ended with this exit status and exactly one error message, and what `expectTameOutput` checks.
 */
export function expectNamedError(bout: Bout, status: number, text: RegExp): void {
  const told = `${bout.stdout}\n${bout.stderr}`;
  expect(bout.status, told).toBe(status);
  const errors = bout.stderr.split('\n').filter((line) => line.startsWith('coffer: '));
  expect(errors, bout.stderr).toHaveLength(1);
  expect(errors[0]).toMatch(text);
  expect(errors[0]?.length).toBeLessThan(1_500);
  expectTameOutput(bout);
}

/**
 * Checks the output of a run, however it ended: no control characters, no stack trace, no passphrase, and not too much of
 * it. Checks the limits of memory and time, too.
 */
export function expectTameOutput(bout: Bout): void {
  const told = bout.stdout + bout.stderr;
  const obeyed = /[^\P{Cc}\n]|[\p{Cf}\p{Zl}\p{Zp}]/u.exec(told);
  expect(obeyed, `a control character: ${JSON.stringify(told)}`).toBeNull();
  expect(told).not.toMatch(/^\s+at |\bnode:|UnhandledPromise|unhandledRejection|Warning:/m);
  expect(told).not.toContain(PASSPHRASE);
  expect(told.length).toBeLessThan(20_000);
  expect(bout.memory).toBeLessThan(MOST_MEMORY);
  expect(bout.milliseconds).toBeLessThan(MOST_MILLISECONDS);
}

/** Bundles agent.ts into one file, which plain Node.js can run. */
export async function buildAgent(): Promise<string> {
  const outfile = join(mkdtempSync(join(tmpdir(), 'coffer-hostile-')), 'agent.cjs');
  await build({
    absWorkingDir: root,
    entryPoints: ['test/hostile/agent.ts'],
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    alias: { long: './tools/build/nothing.cjs' },
    outfile,
    logLevel: 'warning',
  });
  return outfile;
}
