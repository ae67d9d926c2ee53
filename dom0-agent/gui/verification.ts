import { type CofferProgram } from './coffer-program.ts';
import type { Place } from './place-fields.ts';
import { ResultPage, type Verdict } from './result-page.ts';
import { runWithProgress } from './run-with-progress.ts';
import { _ } from './texts.ts';
import type { RestoreResult, VerifyPlan } from './coffer-events.ts';
import type { Wizard } from './wizard.ts';

/** The options for a place, which all commands share. */
export function wordsOfPlace({ vm, isCommand, through }: Place): string[] {
  return [
    ...(vm === 'dom0' ? [] : ['-d', vm]),
    ...(isCommand ? ['--command'] : []),
    ...(through === '' ? [] : ['--through', through]),
  ];
}

/** The path of a file in a directory, which is not normalised: if a command leads there, only that knows its syntax. */
export function fileThere(directory: string, name: string): string {
  return directory.endsWith('/') ? directory + name : `${directory}/${name}`;
}

/** Verifies a backup, and returns the page with the result. Throws CofferFailed. */
export async function verified(
  wizard: Wizard,
  coffer: CofferProgram,
  backup: Place & { readonly passphrase: string },
  names: readonly string[] = [],
): Promise<ResultPage> {
  const result = await runWithProgress(wizard, coffer, {
    words: ['verify', ...wordsOfPlace(backup), '--', backup.location, ...names],
    passphrase: backup.passphrase,
    title: _('Checking the backup'),
    stopQuestion: _('Stop checking? The backup stays as it is.'),
    review: () => true,
    namesIn: (plan) => (plan as VerifyPlan).qubes.map(({ name }) => name),
  });
  return verifiedPage(result as RestoreResult);
}

function verifiedPage({ ok, qubes, warnings }: RestoreResult): ResultPage {
  const verdict: Verdict = ok ? 'good' : 'bad';
  const title = ok
    ? _('The backup is complete and authentic')
    : _('The backup is damaged or incomplete');
  return new ResultPage(title, verdict, [...outcomeSentences(qubes), ...warnings]);
}

/** A sentence about the result for each VM. */
export function outcomeSentences(qubes: RestoreResult['qubes']): string[] {
  return qubes.map(({ name, result, remarks }) =>
    [`${name}: ${inWords(result)}`, ...remarks].join('; '),
  );
}

function inWords(result: RestoreResult['qubes'][number]['result']): string {
  const words: Record<typeof result, string> = {
    restored: _('restored'),
    'restored in part': _('restored in part'),
    failed: _('failed'),
    'left out': _('left out'),
    verified: _('verified'),
    damaged: _('damaged'),
    incomplete: _('already incomplete in the backup'),
    'not verified': _('not verified: the end of the backup does not confirm it'),
  };
  return words[result];
}
