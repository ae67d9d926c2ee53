import { type CofferProgram, resultOf } from '../coffer-program.ts';
import type { Place } from '../place-fields.ts';
import { ResultPage } from '../result-page.ts';
import { ReviewPage } from '../review-page.ts';
import { doSeen } from '../seen-work.ts';
import { _ } from '../texts.ts';
import type { PrunePlan, PruneResult } from '../told.ts';
import { wordsOfPlace } from '../verification.ts';
import type { Wizard } from '../wizard.ts';
import { KeepingPage, forgettingSentences } from './keeping-page.ts';

/** Lets the user forget backups in a directory. Gives the page with the result; undefined if the user went back. */
export async function keepSome(
  wizard: Wizard,
  coffer: CofferProgram,
  directory: Place & { readonly passphrase: string },
): Promise<ResultPage | undefined> {
  const { passphrase, location } = directory;
  const wordsFor = (options: readonly string[]): string[] => [
    ...['prune', ...wordsOfPlace(directory), ...options],
    ...['--', location],
  ];
  const page = new KeepingPage(wizard, async (options) => {
    const looking = coffer.start(wordsFor([...options, '--dry-run']));
    return (await resultOf(looking, { passphrase })) as PruneResult;
  });
  if (!(await wizard.ask(page))) return undefined;
  const result = await doSeen(wizard, coffer, {
    words: wordsFor(page.options),
    passphrase,
    title: _('Forgetting backups'),
    stopQuestion: _('Stop? What is kept stays whole.'),
    namesIn: () => [],
    // It was seen before; only another one is new.
    review: (plan) => {
      const seen = plan as PrunePlan;
      if (page.shows(seen)) return true;
      return new ReviewPage(_('Is this to be forgotten?'), _('_Forget'), forgettingSentences(seen));
    },
  });
  return result === undefined ? undefined : keptPage(result as PruneResult);
}

function keptPage(result: PruneResult): ResultPage {
  const title = result.ok ? _('Old backups are forgotten') : _('Not all could be forgotten');
  const sentences = [...forgettingSentences(result), ...result.warnings];
  return new ResultPage(title, result.ok ? 'good' : 'bad', sentences);
}
