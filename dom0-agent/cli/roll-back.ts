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

/** How long to wait for a killed process to end, in ms: it may hang in the kernel. */
const TIMEOUT = 30_000;
const INTERVAL = 20;

/**
 * Starts a cleanup process: if this process is killed, it runs `coffer roll-back`. To be cancelled at the end.
 *
 * @param system the value of `--system`
 */
export async function rollBackIfKilled(system: string | undefined): Promise<CleanupProcess> {
  const program = [process.execPath, realpathSync(process.argv[1] ?? '.')];
  const where = system === undefined ? [] : ['--system', system];
  return CleanupProcess.toRun([...program, 'roll-back', ...where, await newOwnerName()]);
}

/**
 * The hidden `coffer roll-back`: removes the partly restored VMs and homes that the process named by `owner` has left,
 * once it has ended, and the snapshots left by any coffer process that has ended. Returns the exit status. Throws
 * FailedError when the process does not end.
 */
export async function rollBackCommand(
  owner: string,
  flags: { readonly system?: string },
): Promise<number> {
  await untilGone(owner);
  const { system, qubesd } = await openSystem(flags.system, () => undefined);
  await qubesd?.removeStaleSnapshots();
  // If a restore has started in the meantime, this is refused, and that restore cleans up itself.
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
  const deadline = performance.now() + TIMEOUT;
  while (!(await isOwnerGone(owner))) {
    if (performance.now() > deadline) throw new FailedError(`${owner} is still running`);
    await sleep(INTERVAL);
  }
}
