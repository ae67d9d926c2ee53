import { CofferFailed, type CofferProgram, resultOf } from '../coffer-program.ts';
import type { Place } from '../place-fields.ts';
import { ResultPage } from '../result-page.ts';
import { ReviewPage } from '../review-page.ts';
import { runWithProgress } from '../run-with-progress.ts';
import { SourcePage } from '../source-page.ts';
import { _ } from '../texts.ts';
import type { PrunePlan, PruneResult } from '../coffer-events.ts';
import { wordsOfPlace } from '../verification.ts';
import type { Wizard } from '../wizard.ts';
import { KeepingPage, forgettingSentences } from './keeping-page.ts';

/** Where old backups are, and their passphrase. */
export type Directory = Place & { readonly passphrase: string };

/** Lets the user forget backups in a directory. Returns the page with the result; undefined if the user went back. */
export async function keepSome(
  wizard: Wizard,
  coffer: CofferProgram,
  directory: Directory,
): Promise<ResultPage | undefined> {
  const { passphrase } = directory;
  const page = new KeepingPage(wizard, (options) => previewOf(coffer, directory, options));
  if (!(await wizard.ask(page))) return undefined;
  const result = await runWithProgress(wizard, coffer, {
    words: wordsFor(directory, page.options),
    passphrase,
    title: _('Forgetting backups'),
    stopQuestion: _('Stop? The backups that are kept stay complete.'),
    namesIn: () => [],
    // The user has agreed to what the page showed; a plan that differs has to be reviewed.
    review: (plan) => {
      const seen = plan as PrunePlan;
      if (page.shows(seen)) return true;
      return new ReviewPage(
        _('Do you want to forget these backups?'),
        _('_Forget'),
        forgettingSentences(seen),
      );
    },
  });
  return result === undefined ? undefined : keptPage(result as PruneResult);
}

/** Asks the user where old backups are, and lets the user forget some of them. */
export async function keepSomewhere(
  wizard: Wizard,
  coffer: CofferProgram,
  last: Place | undefined,
): Promise<void> {
  const page = new SourcePage(wizard, coffer, {
    title: _('Where are the old backups?'),
    location: _('_Directory'),
    enter: _('Enter a directory.'),
  });
  await wizard.whileBusy(_('Looking for devices …'), () => page.prepare());
  if (last?.isCommand === false) page.place = last;
  await wizard.lead([
    () => wizard.ask(page),
    async () => {
      const { source } = page;
      try {
        const look = () => previewOf(coffer, source, ['--keep-last', '1']);
        await wizard.whileBusy(_('Looking there …'), look);
        const outcome = await keepSome(wizard, coffer, source);
        return outcome !== undefined && (await wizard.conclude(outcome));
      } catch (error) {
        if (!(error instanceof CofferFailed)) throw error;
        page.refuse(error.field, error.message);
        return false;
      }
    },
  ]);
}

/** What rules would delete; nothing is changed. Throws CofferFailed. */
export async function previewOf(
  coffer: CofferProgram,
  directory: Directory,
  options: readonly string[],
): Promise<PruneResult> {
  const looking = coffer.start(wordsFor(directory, [...options, '--dry-run']));
  return (await resultOf(looking, directory)) as PruneResult;
}

function wordsFor(directory: Directory, options: readonly string[]): string[] {
  return ['prune', ...wordsOfPlace(directory), ...options, '--', directory.location];
}

function keptPage(result: PruneResult): ResultPage {
  const title = result.ok
    ? _('Old backups were forgotten')
    : _('Not everything could be forgotten');
  const sentences = [...forgettingSentences(result), ...result.warnings];
  return new ResultPage(title, result.ok ? 'good' : 'bad', sentences);
}
