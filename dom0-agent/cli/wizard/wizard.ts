import { showNotice, showResult } from '../output.ts';
import { openSystem } from '../open-system.ts';
import { takeAhead } from '../passphrase-ahead.ts';
import { askForBackup } from './backup-questions.ts';
import { BACK, askInOrder } from './in-order.ts';
import { choose } from './prompts.ts';
import { askForRestore } from './restore-questions.ts';
import { shellWords } from './shell-words.ts';

/** Asks what a command needs to know; returns its arguments. */
type Questions = typeof askForBackup;

/**
 * `coffer` without arguments, on a terminal: asks what to do, calls `run` for that, and shows the command that does the
 * same. Throws what `run` and the questions throw.
 *
 * @param run runs coffer with these arguments
 */
export async function wizard(
  run: (words: readonly string[]) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const opened = await openSystem(undefined, (text) => showNotice(text));
  const asked = await askInOrder<{ questions?: Questions; words: readonly string[] }>(
    [
      async (known) => {
        const questions = await choose<Questions>(
          'What do you want to do?',
          [
            { name: 'back up VMs', value: askForBackup },
            { name: 'restore VMs from a backup', value: askForRestore },
          ],
          signal,
        );
        return questions === BACK ? BACK : { ...known, questions };
      },
      async (known) => {
        const words = await known.questions?.(opened, signal);
        return words === BACK || words === undefined ? BACK : { words };
      },
    ],
    { words: [] },
  );
  if (asked === BACK) {
    showNotice('Nothing was done.');
    return;
  }
  try {
    await run(asked.words);
  } finally {
    takeAhead()?.fill(0);
    if (!signal.aborted) {
      showResult(
        `The same without these questions:\n    ${shellWords(['coffer', ...asked.words])}`,
      );
    }
  }
}
