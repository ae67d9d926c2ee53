import { text } from 'node:stream/consumers';

import { ChildProcess, whyNotRun } from '../../../shared/child-process.ts';
import { FailedError } from '../../../shared/errors.ts';
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

/** Runs programs, each behind `prefix` (see `rootPrefix`). */
export function runnerBehind(prefix: readonly string[]): Run {
  return async (program, args) => {
    const command = [...prefix, program, ...args];
    await using child = new ChildProcess(command, { env: { ...process.env, LC_ALL: 'C.UTF-8' } });
    const output = await text(child.stdout);
    const end = await child.ended;
    if (end.exitStatus === 0) return output;
    if (end.notRun) {
      const why = whyNotRun(command[0] ?? '', end.notRun);
      throw new FailedError(prefix.length === 0 ? why : `${why}, and ${program} needs it`);
    }
    const refusal = prefix.length === 0 ? undefined : sudoProblem(end.untrustedStderr);
    if (refusal !== undefined)
      throw new FailedError(`${program} cannot be run as root: ${refusal}`);
    throw new FailedError(
      `"${[program, ...args].join(' ')}" failed (${end.exitStatus ?? end.signal}): ` +
        printable(end.untrustedStderr.replace(/\s+/g, ' ') || 'it said nothing'),
    );
  };
}
