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

/** How long a killed process may take to end, in milliseconds, unless it hangs in the kernel. */
const PATIENCE = 30_000;
const INTERVAL = 20;

/**
 * If this coffer is killed, another one rolls back its unfinished work. To be cancelled at the end.
 *
 * @param system as `--system` has it
 */
export async function rollBackIfKilled(system: string | undefined): Promise<CleanupProcess> {
  const program = [process.execPath, realpathSync(process.argv[1] ?? '.')];
  const where = system === undefined ? [] : ['--system', system];
  return CleanupProcess.toRun([...program, 'roll-back', ...where, await newOwnerName()]);
}

/**
 * The hidden `coffer roll-back`: removes the partly restored VMs and home of the coffer that `owner` names, once it
 * has ended, and the snapshots left by any coffer that has ended.
 */
export async function rollBackCommand(
  owner: string,
  flags: { readonly system?: string },
): Promise<number> {
  await untilGone(owner);
  const { system, qubesd } = await openSystem(flags.system, () => undefined);
  await qubesd?.removeStaleSnapshots();
  // A restore that has started in the meantime does the rest itself.
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
    if (performance.now() > deadline) throw new FailedError(`${owner} is still running`);
    await sleep(INTERVAL);
  }
}
