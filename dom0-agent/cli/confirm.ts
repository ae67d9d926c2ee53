import { stdin } from 'node:process';
import { read } from 'read';
import { InterruptedError, RefusedError } from '../../shared/errors.ts';

/** Throws RefusedError when nobody could answer a question. */
export function requireTerminal(): void {
  if (stdin.isTTY) return;
  throw new RefusedError('there is no terminal to ask at: use -y to go ahead without a question');
}

/** Asks before anything is done. Throws RefusedError when the answer is not yes. */
export async function confirm(question: string): Promise<void> {
  requireTerminal();
  let answer: string;
  try {
    answer = await read({ prompt: `${question} [y/N] `, output: process.stderr });
  } catch (error) {
    throw new InterruptedError('interrupted', { cause: error });
  }
  if (!/^y(es)?$/i.test(answer.trim())) throw new RefusedError('as you wish: nothing was done');
}
