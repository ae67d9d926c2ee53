import { realpathSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { ExitStatus, FailedError } from '../../shared/errors.ts';
import { CleanupProcess } from '../../shared/cleanup-process.ts';
import { RESTORE_MARK, ownerInMark } from '../qubes/restore-mark.ts';
import { isOwnerGone, isOfSameOwner, newOwnerName } from '../qubes/owner-names.ts';
import { removeAbandoned, removeAbandonedHomes } from '../restore/remove-abandoned.ts';
import { asOnlyRestore } from '../restore/restore-lock.ts';
import { openSystem } from './open-system.ts';
import { CommandReport } from './command-report.ts';

/** A process that is being killed is gone after so many milliseconds, unless it hangs in the kernel. */
const PATIENCE = 30_000;
const INTERVAL = 20;

/**
 * If this coffer is killed, another one rolls back what it has left half done. To be cancelled at the
 * end.
 *
 * @param system as `--system` has it
 */
export async function rollBackIfKilled(system: string | undefined): Promise<CleanupProcess> {
  const program = [process.execPath, realpathSync(process.argv[1] ?? '.')];
  const where = system === undefined ? [] : ['--system', system];
  return CleanupProcess.toRun([...program, 'roll-back', ...where, await newOwnerName()]);
}

/**
 * The hidden `coffer roll-back`: removes the half-restored VMs and the half-restored home of the coffer
 * that `owner` names, once that is gone, and the snapshots that any coffer which is gone has left.
 */
export async function rollBackCommand(
  owner: string,
  flags: { readonly system?: string },
): Promise<number> {
  await untilGone(owner);
  const { system, qubesd } = await openSystem(flags.system, () => undefined);
  await qubesd?.removeStaleSnapshots();
  // A restore that has begun meanwhile does the rest itself.
  await asOnlyRestore(system, 'cleanup', async () => {
    const half = (await system.qubes()).filter(({ name, features }) =>
      isOfSameOwner(ownerInMark(features.get(RESTORE_MARK), name) ?? '', owner),
    );
    const report = new CommandReport({});
    await removeAbandoned(half, system, report);
    await removeAbandonedHomes((await system.dom0Home()).path, report);
  });
  return ExitStatus.done;
}

async function untilGone(owner: string): Promise<void> {
  const deadline = performance.now() + PATIENCE;
  while (!(await isOwnerGone(owner))) {
    if (performance.now() > deadline) throw new FailedError(`${owner} is still at work`);
    await sleep(INTERVAL);
  }
}
