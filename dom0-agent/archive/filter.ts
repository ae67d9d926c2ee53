import { spawn } from 'node:child_process';
import { FailedError, systemCodeOf } from '../../shared/errors.ts';
import { printable } from '../../shared/printable.ts';
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
  const child = spawn(program, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    // Its words, which may be recognised, do not depend on the user's language.
    env: { ...process.env, LC_ALL: 'C' },
    // A group of its own: an interrupt at the terminal is ours to pass on.
    detached: true,
    signal,
  });
  let lastWords = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    lastWords = (lastWords + text).slice(-LAST_WORDS);
  });
  let failure: Error | undefined;
  child.on('error', (error) => (failure = error));
  const closed = new Promise((resolve) => child.once('close', resolve));
  let isOver = false;
  const fed = feed(source, child, () => isOver);
  // Awaited below, after what the program printed; until then its error is not unhandled.
  const settled = Promise.allSettled([fed, closed]);
  try {
    yield* child.stdout as AsyncIterable<Buffer>;
    await fed;
    await closed;
    signal.throwIfAborted();
    if (systemCodeOf(failure) === 'ENOENT') {
      throw new FilterError(`the program ${program} is not installed: install it`, false);
    }
    if (child.exitCode !== 0) {
      const why = lastWords.trim() === '' ? '' : `: ${printable(lastWords.trim())}`;
      const end = endOf(child.exitCode, child.signalCode);
      throw new FilterError(`${program} failed (${end})${why}`, child.exitCode !== null);
    }
  } finally {
    isOver = true;
    child.stdout.destroy();
    child.kill('SIGKILL');
    await settled;
  }
}

function endOf(exitCode: number | null, signalCode: NodeJS.Signals | null): string {
  return exitCode === null ? `ended by ${signalCode ?? 'a signal'}` : `exit status ${exitCode}`;
}
