import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';

import { FailedError, reasonOf, systemCodeOf } from '../../../shared/errors.ts';
import { printable } from '../../../shared/printable.ts';
import { sudoProblem } from './sudo-problem.ts';

/**
 * Runs a program to its end and gives what it printed. Throws FailedError with the program's last
 * words when it cannot be run or fails.
 */
export type Run = (program: string, args: readonly string[]) => Promise<string>;

/** The words that let dom0's user run a command as root; none for root. */
export function rootPrefix(): readonly string[] {
  // -n: fail rather than ask, as nobody may be there to answer.
  return process.getuid?.() === 0 ? [] : ['sudo', '-n', '--'];
}

/** Whether a program is not there, or where this user may look for none. */
export function isNotThere(error: unknown): boolean {
  return ['ENOENT', 'EACCES'].includes(systemCodeOf(error) ?? '');
}

/** Runs programs, each behind `prefix` (see `rootPrefix`). */
export function runnerBehind(prefix: readonly string[]): Run {
  return async (program, args) => {
    const [first = program, ...rest] = [...prefix, program, ...args];
    // A group of its own: Ctrl-C is for coffer, which cleans up, and not for what cleans up.
    const child = spawn(first, rest, {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      env: { ...process.env, LC_ALL: 'C.UTF-8' },
    });
    const ended = new Promise<number | NodeJS.Signals>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (status, signal) => resolve(status ?? signal ?? 'SIGKILL'));
    });
    try {
      const [status, output, complaint] = await Promise.all([
        ended,
        text(child.stdout),
        text(child.stderr),
      ]);
      if (status === 0) return output;
      const refusal = prefix.length === 0 ? undefined : sudoProblem(complaint);
      if (refusal !== undefined)
        throw new FailedError(`${program} cannot be run as root: ${refusal}`);
      throw new FailedError(
        `"${[program, ...args].join(' ')}" failed (${status}): ` +
          printable(complaint.trim().replace(/\s+/g, ' ') || 'it said nothing'),
      );
    } catch (error) {
      if (error instanceof FailedError) throw error;
      throw new FailedError(
        isNotThere(error)
          ? `${first} is not installed here, and coffer needs it for ${program}`
          : `${program} cannot be run: ${reasonOf(error)}`,
      );
    }
  };
}
