import { messageOf } from '../../shared/errors.ts';
import type { BackupCheck } from '../backup/backup-record.ts';
import { noteBackup } from '../backup/note-backup.ts';
import { noteBackupTime } from '../backup/run-backup.ts';
import { noteInSeries } from '../backup/series-backup.ts';
import { goesIntoSeries } from './backup-series.ts';
import type { CommandReport } from './command-report.ts';
import type { StoredCheck } from './check-stored.ts';
import { type BackupContext, type Proposal, storeOf } from './propose-backup.ts';
import type { ChangesSince, Sent } from './send-backup.ts';

/** What there is to note of a backup. */
export interface Noting {
  readonly sent: Sent;
  readonly check: StoredCheck;
  readonly fileName: string;
  readonly created: Date;
  /** How long it took, with the check. */
  readonly seconds: number;
  readonly changes: ChangesSince | undefined;
}

/**
 * Notes in the state of the series what the next backup needs. If that fails, it warns: that the next backup cannot
 * continue from this one does not make this one fail.
 */
export async function noteForNext(noting: Noting, context: BackupContext): Promise<void> {
  const { sent, check, fileName, created, seconds, changes } = noting;
  const { series, written, backedUp, broken, stored } = sent;
  if (series === undefined || written === undefined) return;
  if (!goesIntoSeries(context.request.flags)) return;
  const effort = {
    seconds: Math.max(1, Math.round(seconds)),
    read: backedUp.reduce((sum, { used }) => sum + used, 0),
    new: written.newChunks * written.grain,
  };
  const ofFile = check.checks.get(written.name.backupId);
  const made = { fileName, bytes: stored.bytes, made: created, check: ofFile, effort };
  const { report } = context;
  try {
    await noteInSeries(storeOf(context), series, written, made, check.checks, broken);
  } catch (error) {
    report.warning(`this backup was not recorded for the next one: ${messageOf(error)}`);
    return;
  }
  if (check.result !== 'damaged') await noteChanges(changes, report);
}

/** Notes what the volumes are like now. If that fails, it warns: the next backup only takes longer. */
async function noteChanges(
  changes: ChangesSince | undefined,
  report: CommandReport,
): Promise<void> {
  try {
    await changes?.tracking.commit();
  } catch (error) {
    report.warning(
      `what the volumes are like was not recorded, so the next backup may read all of them: ${messageOf(error)}`,
    );
  }
}

/** Notes when each VM was backed up, and whether that was checked: in the system, and in dom0's record. */
export async function noteForUser(
  { sent: { backedUp, stored }, check, created }: Noting,
  { plan }: Proposal,
  { opened, report }: BackupContext,
): Promise<void> {
  await noteBackupTime(plan, backedUp, opened.system, created, report);
  const made = { created, location: stored.location, check: checkOf(check) };
  // dom0 is backed up when its home is: its configuration alone is not what `coffer status` asks about.
  const recorded = backedUp.filter(({ name }) => name !== 'dom0' || plan.dom0Home !== undefined);
  await noteBackup(opened.recordFiles, recorded, made, report);
}

/** The check for dom0's record. */
function checkOf({ result }: StoredCheck): BackupCheck | undefined {
  if (result !== 'verified' && result !== 'damaged') return undefined;
  return { at: Math.floor(Date.now() / 1000), result };
}
