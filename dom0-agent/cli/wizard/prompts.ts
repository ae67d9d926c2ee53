import { stdin } from 'node:process';
import checkbox from '@inquirer/checkbox';
import { ExitPromptError } from '@inquirer/core';
import input from '@inquirer/input';
import select from '@inquirer/select';
import { InterruptedError, RefusedError } from '../../../shared/errors.ts';
import { printable } from '../../../shared/printable.ts';
import { BACK, type Back } from './in-order.ts';

/** How many choices are shown at a time. */
const PAGE = 12;

/** Something that can be chosen. Its texts are made printable here. */
export interface Choice<T> {
  readonly name: string;
  readonly value: T;
  /** Shown below the list while the cursor is on this choice. */
  readonly description?: string | undefined;
}

/** Keys and what they do, as `@inquirer` shows them below a question. */
type Keys = readonly (readonly [string, string])[];

const style = {
  keysHelpTip: (keys: Keys) => [...keys, ['Esc', 'back']].map((each) => each.join(' ')).join(', '),
};

/** Asks for one of several choices. Throws like `answered`. */
export function choose<T>(
  message: string,
  choices: readonly Choice<T>[],
  signal: AbortSignal,
): Promise<T | Back> {
  const shown = choices.map(printableChoice);
  return answered(signal, (context) =>
    select<T>({ message, choices: shown, pageSize: PAGE, loop: false, theme: { style } }, context),
  );
}

/** Asks for any number of choices; those with `isChosen` are chosen at first. Throws like `answered`. */
export function chooseSeveral<T>(
  message: string,
  choices: readonly (Choice<T> & { readonly isChosen?: boolean })[],
  isRequired: boolean,
  signal: AbortSignal,
): Promise<T[] | Back> {
  const shown = choices.map((each) => ({
    ...printableChoice(each),
    short: printable(each.name.split('  ')[0] ?? ''),
    checked: each.isChosen === true,
  }));
  const settings = { message, choices: shown, pageSize: PAGE, loop: false, required: isRequired };
  return answered(signal, (context) => checkbox<T>({ ...settings, theme: { style } }, context));
}

/** Asks for a line of text. `whyNot` returns what is wrong with it, for people. Throws like `answered`. */
export function askLine(
  message: string,
  whyNot: (text: string) => Promise<string | undefined>,
  signal: AbortSignal,
): Promise<string | Back> {
  const validate = async (text: string): Promise<string | true> =>
    printable((await whyNot(text)) ?? '') || true;
  return answered(signal, (context) => input({ message, validate }, context));
}

function printableChoice<T>({ name, value, description }: Choice<T>) {
  return {
    ...{ name: printable(name), value },
    ...(description === undefined ? {} : { description: printable(description) }),
  };
}

/**
 * The answer to a question, or BACK for Esc. Throws InterruptedError at Ctrl-C and when the signal is aborted,
 * RefusedError at the end of the input.
 */
async function answered<T>(
  signal: AbortSignal,
  ask: (context: { readonly signal: AbortSignal }) => Promise<T>,
): Promise<T | Back> {
  signal.throwIfAborted();
  const leaving = new AbortController();
  const onKey = (
    _: unknown,
    { name, ctrl }: { readonly name?: string; readonly ctrl: boolean },
  ) => {
    if (name === 'escape') leaving.abort(BACK);
    if (name === 'd' && ctrl) {
      leaving.abort(new RefusedError('the input ended without an answer: nothing was done'));
    }
  };
  stdin.on('keypress', onKey);
  try {
    return await ask({ signal: AbortSignal.any([signal, leaving.signal]) });
  } catch (error) {
    if (signal.aborted || error instanceof ExitPromptError) {
      throw new InterruptedError('interrupted: nothing was done', { cause: error });
    }
    if (!leaving.signal.aborted) throw error;
    if (leaving.signal.reason === BACK) return BACK;
    throw leaving.signal.reason;
  } finally {
    stdin.off('keypress', onKey);
  }
}
