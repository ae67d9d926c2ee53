import { type CofferProgram, resultOf } from '../coffer-program.ts';
import { _ } from '../texts.ts';
import type { BackupPlan } from '../coffer-events.ts';
import { wordsOfPlace } from '../verification.ts';
import type { Destination } from './destination-page.ts';

/** The arguments of the command that backs up these VMs to this destination. */
export function backupWords(
  to: Destination,
  names: readonly string[],
  options: readonly string[] = [],
): string[] {
  return [
    ...['backup', ...wordsOfPlace(to), ...options],
    ...(to.encrypt ? [] : ['--no-encrypt']),
    ...(to.compress ? [] : ['-Z', 'none']),
    ...(to.isNewSeries ? ['--new-series'] : []),
    ...['--', to.location, ...names],
  ];
}

/** The plan of a backup, which is not carried out. Throws CofferFailed. */
export async function planFor(
  coffer: CofferProgram,
  to: Destination,
  names: readonly string[],
): Promise<BackupPlan> {
  let found: BackupPlan | undefined;
  await resultOf(coffer.start(backupWords(to, names)), {
    agree: (plan) => {
      found = plan as BackupPlan;
      return Promise.resolve(false);
    },
  });
  if (found === undefined) throw new Error(_('coffer told no plan.'));
  return found;
}

/** The names in the events of a backup. */
export function namesIn({ qubes, dom0Home, dom0Paths }: BackupPlan): string[] {
  const hasDom0 = dom0Home !== null || dom0Paths !== null;
  return [...qubes.map(({ name }) => name), ...(hasDom0 ? ['dom0'] : [])];
}
