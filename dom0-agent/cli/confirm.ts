import { RefusedError } from '../../shared/errors.ts';
import { ControllingTerminal } from './controlling-terminal.ts';

const NO_TERMINAL = 'there is no terminal to ask at: use -y to go ahead without a question';

/** Throws RefusedError when nobody could answer a question. */
export function requireTerminal(): void {
  ControllingTerminal.require(NO_TERMINAL);
}

/**
 * Asks before anything is done. Throws RefusedError when the answer is not yes, or nobody can be asked,
 * and InterruptedError.
 */
export async function confirm(question: string, signal: AbortSignal): Promise<void> {
  using terminal = ControllingTerminal.open(NO_TERMINAL, signal);
  const answer = (await terminal.ask(`${question} [y/N] `)).toString('utf8');
  if (!/^y(es)?$/i.test(answer.trim())) throw new RefusedError('nothing was done');
}
