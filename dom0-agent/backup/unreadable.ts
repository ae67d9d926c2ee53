import { RefusedError } from '../../shared/errors.ts';
import type { Inventory, PlannedQube } from './plan-backup.ts';

/** Throws RefusedError for a VM of which a volume cannot be read as it was last saved. */
export function refuseUnreadable(
  planned: readonly PlannedQube[],
  { unreadable }: Pick<Inventory, 'unreadable'>,
): void {
  for (const { qube, running } of planned) {
    const why = unreadable.get(qube.name);
    if (why === undefined) continue;
    const isRunning = running ? ' while it is running' : '';
    const help = running ? 'shut it down, or leave it' : 'leave it';
    throw new RefusedError(
      `${qube.name} cannot be backed up${isRunning}: ${why}; ${help} out with -x ${qube.name}`,
    );
  }
}
