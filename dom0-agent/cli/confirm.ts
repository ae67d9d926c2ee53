import { stdin } from 'node:process';
import { read } from 'read';
import { InterruptedError, RefusedError } from '../../shared/errors.ts';

/** Asks before anything is done. Throws RefusedError when the answer is not yes. */
export async function confirm(question: string): Promise<void> {
  if (!stdin.isTTY) {
    throw new RefusedError('there is no terminal to ask at: use -y to go ahead without a question');
  }
  let answer: string;
  try {
    answer = await read({ prompt: `${question} [y/N] `, output: process.stderr });
  } catch (error) {
    throw new InterruptedError('interrupted', { cause: error });
  }
  if (!/^y(es)?$/i.test(answer.trim())) throw new RefusedError('as you wish: nothing was done');
}
