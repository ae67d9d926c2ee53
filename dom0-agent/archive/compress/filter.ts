import { ChildProcess, describeEnd, whyNotRun } from '../../../shared/child-process.ts';
import { FailedError } from '../../../shared/errors.ts';
import { printable } from '../../../shared/printable.ts';
import { feed } from './feed.ts';

/** How much of a filter's standard error is kept for the error message, in characters. */
const LAST_WORDS = 300;

/** A filter program that ended badly. */
export class FilterError extends FailedError {
  /** False when the program is missing or was killed, which says nothing of what it was given. */
  readonly isOfItsInput: boolean;

  constructor(message: string, isOfItsInput: boolean) {
    super(message);
    this.isOfItsInput = isOfItsInput;
  }
}

/**
 * Pipes `source` through a program, as Qubes does with its compression filters, and gives what
 * the program prints. Back-pressure goes through the pipes. An error of `source` comes out as it
 * is; a program that is missing or fails is a FilterError. However the iteration ends, no
 * process is left.
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
    // Its words, which may be recognised, do not depend on the user's language.
    env: { ...process.env, LC_ALL: 'C' },
    signal,
  });
  let isOver = false;
  const fed = feed(source, child, () => isOver);
  // Awaited below, after what the program printed; until then its error is not unhandled.
  const settled = Promise.allSettled([fed]);
  try {
    yield* child.stdout as AsyncIterable<Buffer>;
    await fed;
    const end = await child.ended;
    signal.throwIfAborted();
    if (end.notRun) throw new FilterError(whyNotRun(program, end.notRun), false);
    if (end.exitStatus !== 0) {
      const words = printable(end.untrustedStderr.slice(-LAST_WORDS).trim());
      const why = words === '' ? '' : `: ${words}`;
      throw new FilterError(`${program} ${describeEnd(end)}${why}`, end.exitStatus !== undefined);
    }
  } finally {
    isOver = true;
    await child[Symbol.asyncDispose]();
    await settled;
  }
}
