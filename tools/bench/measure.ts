import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { systemCodeOf } from '../../shared/errors.ts';
import { KiB } from '../../shared/sizes.ts';

/** How often memory is looked at, in ms. The kernel keeps the peak itself, so nothing is missed except at the end. */
const MEMORY_INTERVAL = 15;

/** A program to run, with its arguments. */
export interface Command {
  readonly argv: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** Whether to measure the time until it prints something, rather than until it ends. */
  readonly untilOutput?: boolean;
}

export interface Measured {
  /** From the start of the process to its end, or to its first output. */
  readonly seconds: number;
  /** Peaks of resident memory, in bytes, of the program and of the VM agent that it starts. */
  readonly memory: { readonly program: number; readonly agent: number };
}

/**
 * Runs a command to its end. Throws when it fails, with the end of its standard error.
 *
 * @param watchesMemory whether to measure memory, which costs a little time
 */
export async function measure(command: Command, watchesMemory = false): Promise<Measured> {
  const [program = '', ...args] = command.argv;
  const begun = performance.now();
  const child = spawn(program, args, {
    stdio: ['ignore', command.untilOutput === true ? 'pipe' : 'ignore', 'pipe'],
    env: { ...process.env, ...command.env },
  });
  let firstOutput: number | undefined;
  child.stdout?.on('data', () => (firstOutput ??= performance.now()));
  let said = '';
  child.stderr
    ?.setEncoding('utf8')
    .on('data', (text: string) => (said = (said + text).slice(-500)));
  const over = new AbortController();
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status) => {
      const seconds = ((firstOutput ?? performance.now()) - begun) / 1000;
      over.abort();
      if (status === 0) resolve(seconds);
      else reject(new Error(`${command.argv.join(' ')} failed: ${said}`));
    });
  });
  const watched = watchesMemory
    ? peakMemory(child.pid ?? 0, over.signal)
    : { program: 0, agent: 0 };
  const [seconds, memory] = await Promise.all([ended, watched]);
  return { seconds, memory };
}

async function peakMemory(pid: number, over: AbortSignal): Promise<Measured['memory']> {
  let program = 0;
  let agent = 0;
  while (!over.aborted) {
    program = Math.max(program, await peakOf(pid));
    for (const child of await childrenOf(pid)) {
      if ((await processFile(child, 'cmdline')).includes('coffer-vm-agent')) {
        agent = Math.max(agent, await peakOf(child));
      }
    }
    await pause(MEMORY_INTERVAL);
  }
  return { program, agent };
}

async function peakOf(pid: number): Promise<number> {
  const kib = /^VmHWM:\s+(\d+) kB$/m.exec(await processFile(pid, 'status'))?.[1];
  return Number(kib ?? 0) * KiB;
}

async function childrenOf(pid: number): Promise<number[]> {
  const children = await processFile(pid, `task/${pid}/children`);
  return children.split(' ').filter(Boolean).map(Number);
}

/** The text of a file in /proc about a process; empty if the process has ended. */
async function processFile(pid: number, name: string): Promise<string> {
  try {
    return await readFile(`/proc/${pid}/${name}`, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes(systemCodeOf(error) ?? '')) return '';
    throw error;
  }
}
