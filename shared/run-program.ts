import { text } from 'node:stream/consumers';
import { type ChildEnd, ChildProcess, whyNotRun } from './child-process.ts';
import { FailedError } from './errors.ts';
import { linesIn } from './lines.ts';
import { printableWords } from './printable.ts';
import { KiB } from './sizes.ts';

/**
 * Runs a program to its end and returns its output. Throws FailedError with the end of its standard error when it
 * cannot be run or fails.
 */
export type RunProgram = (program: string, args: readonly string[]) => Promise<string>;

/** The prefix with which dom0's user runs a command as root; empty for root. */
export function rootPrefix(): readonly string[] {
  // -n: fail rather than ask, as nobody may be there to answer.
  return process.getuid?.() === 0 ? [] : ['sudo', '-n', '--'];
}

/** Runs programs, each with `prefix` (see `rootPrefix`). */
export function runnerBehind(prefix: readonly string[]): RunProgram {
  return async (program, args) => {
    await using child = start(prefix, program, args);
    const output = await text(child.stdout);
    requireSuccess(prefix, program, args, await child.ended);
    return output;
  };
}

/**
 * Runs a program and yields its output as it comes, in batches of whole lines, without keeping it. Throws FailedError
 * as `RunProgram` does, and for an unfinished line of more than 64 KiB. A caller that stops early ends the program.
 */
export type RunForLines = (
  program: string,
  args: readonly string[],
) => AsyncIterable<readonly string[]>;

/** How much of an unfinished line is kept, in characters. */
const LONGEST_LINE = 64 * KiB;

/** Runs programs for their lines, each with `prefix` (see `rootPrefix`). */
export function lineRunnerBehind(prefix: readonly string[]): RunForLines {
  return async function* (program, args) {
    await using child = start(prefix, program, args);
    child.stdout.setEncoding('utf8');
    const tooLong = (): Error => new FailedError(`${program} gives too long a line`);
    yield* linesIn(child.stdout as AsyncIterable<string>, LONGEST_LINE, tooLong);
    requireSuccess(prefix, program, args, await child.ended);
  };
}

/** Runs a program and yields its output as it comes. Throws FailedError as `RunProgram` does. */
export type RunForBytes = (program: string, args: readonly string[]) => AsyncIterable<Buffer>;

/** Runs programs for their bytes, each with `prefix` (see `rootPrefix`). */
export function byteRunnerBehind(prefix: readonly string[]): RunForBytes {
  return async function* (program, args) {
    await using child = start(prefix, program, args);
    yield* child.stdout as AsyncIterable<Buffer>;
    requireSuccess(prefix, program, args, await child.ended);
  };
}

function start(prefix: readonly string[], program: string, args: readonly string[]): ChildProcess {
  const env = { ...process.env, LC_ALL: 'C.UTF-8' };
  return new ChildProcess([...prefix, program, ...args], { env });
}

/** Throws FailedError, with the end of its standard error, for a program that could not be run or has failed. */
function requireSuccess(
  prefix: readonly string[],
  program: string,
  args: readonly string[],
  end: ChildEnd,
): void {
  if (end.exitStatus === 0) return;
  if (end.notRun) {
    const why = whyNotRun(prefix[0] ?? program, end.notRun);
    throw new FailedError(prefix.length === 0 ? why : `${why}, and ${program} needs it`);
  }
  const refusal = prefix.length === 0 ? undefined : sudoProblem(end.untrustedStderr);
  if (refusal !== undefined) throw new FailedError(`${program} cannot be run as root: ${refusal}`);
  throw new FailedError(
    `"${[program, ...args].join(' ')}" failed (${end.exitStatus ?? end.signal}): ` +
      (printableWords(end.untrustedStderr) || 'it printed no reason'),
  );
}

/** Messages of sudo, and of sudo-rs, when it refuses to run a command, and what they mean. */
const REFUSALS: readonly (readonly [words: RegExp, meaning: string])[] = [
  [
    // With -n it also says this about a user or a command that sudoers does not allow.
    /^sudo: .*(password|terminal|authentication) is required/m,
    'asks for a password, or does not allow it (sudoers has to, with NOPASSWD)',
  ],
  [/^sudo: .*must have a tty/m, 'wants a terminal (`requiretty` in sudoers)'],
  [
    /is not in the sudoers file|^(sudo: )?(Sorry, user|I'm sorry) /m,
    'does not allow it to this user (sudoers has to, with NOPASSWD)',
  ],
  [/^sudo: .*: command not found/m, 'does not find the command (see `secure_path` in sudoers)'],
  [
    /^sudo: .*(no new privileges|setuid)/m,
    'has no rights of root itself (NoNewPrivileges in a unit, or a file system mounted with nosuid)',
  ],
];

/** Why sudo did not run a command, from its message; undefined if it did run it. */
export function sudoProblem(untrustedComplaint: string): string | undefined {
  const meaning = REFUSALS.find(([words]) => words.test(untrustedComplaint))?.[1];
  if (meaning === undefined) return undefined;
  const words = printableWords(untrustedComplaint, 200);
  return `sudo ${meaning}, and says "${words}"`;
}
