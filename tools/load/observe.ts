import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { systemCodeOf } from '../../shared/errors.ts';

const PROGRAM = new URL('../../dist/coffer', import.meta.url).pathname;
/** How often memory and descriptors are looked at, in ms. For memory, the kernel keeps the peak itself. */
const INTERVAL = 20;

/** The resources that a run of coffer took. */
export interface Observed {
  readonly seconds: number;
  /** Peaks of resident memory, in MiB, of coffer and of the VM agent. */
  readonly coffer: number;
  readonly agent: number;
  /** The highest number of descriptors that coffer had open. */
  readonly descriptors: number;
}

/** Runs the built coffer to its end. Throws, with its standard error, unless it succeeds. */
export async function observe(args: readonly string[]): Promise<Observed> {
  const begun = performance.now();
  const child = spawn(process.execPath, [PROGRAM, ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const peaks = { coffer: 0, agent: 0, descriptors: 0 };
  const timer = setInterval(() => look(child, peaks), INTERVAL);
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  try {
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (status) => {
        if (status === 0) resolve();
        else reject(new Error(`coffer ${args.join(' ')} ended with ${status}: ${said}`));
      });
    });
  } finally {
    clearInterval(timer);
  }
  return { seconds: (performance.now() - begun) / 1000, ...peaks };
}

function look(
  { pid }: ChildProcess,
  peaks: { coffer: number; agent: number; descriptors: number },
): void {
  if (pid === undefined) return;
  peaks.coffer = Math.max(peaks.coffer, peakOf(pid));
  peaks.descriptors = Math.max(peaks.descriptors, descriptorsOf(pid));
  for (const child of childrenOf(pid)) peaks.agent = Math.max(peaks.agent, peakOf(child));
}

/** The peak of a process's resident memory, in MiB. */
export function peakOf(pid: number | 'self'): number {
  const kib = /^VmHWM:\s+(\d+) kB$/m.exec(ofProcess(pid, 'status'))?.[1];
  return Number(kib ?? 0) / 1024;
}

/** The number of descriptors that a process has open. */
export function descriptorsOf(pid: number | 'self'): number {
  try {
    return readdirSync(`/proc/${pid}/fd`).length;
  } catch (error) {
    if (isGone(error)) return 0;
    throw error;
  }
}

/** The VM agents among a process's children. */
function childrenOf(pid: number): number[] {
  const children = ofProcess(pid, `task/${pid}/children`).split(' ').filter(Boolean).map(Number);
  return children.filter((child) => ofProcess(child, 'cmdline').includes('coffer-vm-agent'));
}

function ofProcess(pid: number | 'self', file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch (error) {
    if (isGone(error)) return '';
    throw error;
  }
}

function isGone(error: unknown): boolean {
  return ['ENOENT', 'ESRCH'].includes(systemCodeOf(error) ?? '');
}
