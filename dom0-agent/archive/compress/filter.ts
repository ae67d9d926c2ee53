import { ChildProcess, describeEnd, whyNotRun } from '../../../shared/child-process.ts';
import { FailedError } from '../../../shared/errors.ts';
import { printable } from '../../../shared/printable.ts';
import { feed } from './feed.ts';

/** How much of a filter's standard error is kept for the error message, in characters. */
const LONGEST_STDERR = 300;

/** A filter program failed. */
export class FilterError extends FailedError {
  /** False when the program is missing or was killed, which says nothing about its input. */
  readonly isOfItsInput: boolean;

  constructor(message: string, isOfItsInput: boolean) {
    super(message);
    this.isOfItsInput = isOfItsInput;
  }
}

/**
 * Pipes `source` through a program, as Qubes does with its compression filters, and yields the program's
 * output. Back-pressure goes through the pipes. An error of `source` is thrown unchanged; a program that is
 * missing or fails is a FilterError. However the iteration ends, no process is left.
 */
export async function* filter(
  program: string,
  args: readonly string[],
  source: AsyncIterable<Buffer>,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, undefined> {
  signal.throwIfAborted();
  const child = new ChildProcess([program, ...args], {
    stdin: 'pipe',
    // Its messages, which may be matched, must not depend on the user's language.
    env: { ...process.env, LC_ALL: 'C' },
    signal,
  });
  let isOver = false;
  const fed = feed(source, child, () => isOver);
  // Awaited below, after the program's output; until then its error is not unhandled.
  const settled = Promise.allSettled([fed]);
  try {
    yield* child.stdout as AsyncIterable<Buffer>;
    await fed;
    const end = await child.ended;
    signal.throwIfAborted();
    if (end.notRun) throw new FilterError(whyNotRun(program, end.notRun), false);
    if (end.exitStatus !== 0) {
      const stderr = printable(end.untrustedStderr.slice(-LONGEST_STDERR).trim());
      const why = stderr === '' ? '' : `: ${stderr}`;
      throw new FilterError(`${program} ${describeEnd(end)}${why}`, end.exitStatus !== undefined);
    }
  } finally {
    isOver = true;
    await child[Symbol.asyncDispose]();
    await settled;
  }
}
