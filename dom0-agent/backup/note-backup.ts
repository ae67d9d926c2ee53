import { messageOf } from '../../shared/errors.ts';
import { printable } from '../../shared/printable.ts';
import type { Report } from '../../shared/report.ts';
import type { Outcome } from '../contents/outcome.ts';
import type { BackupCheck, BackupRecord } from './backup-record.ts';
import { type RecordFiles, changeRecord, readRecord } from './record-files.ts';
import type { BackedUp } from './run-backup.ts';

/** Notes a backup in the record. That it cannot be noted is a warning: the backup is made. */
export async function noteBackup(
  files: RecordFiles,
  backedUp: readonly BackedUp[],
  made: { readonly created: Date; readonly location: string },
  report: Report,
): Promise<void> {
  const last = { created: secondsOf(made.created), location: printable(made.location) };
  const whole = backedUp.filter(({ failure }) => failure === undefined);
  await note(files, report, (record) => {
    const entries = whole.map(({ name }): [string, typeof last] => [name, last]);
    return new Map([...record, ...entries]);
  });
}

/**
 * Notes what a verify, or a restore, has found out of VMs whose last backup this is. The record is not touched for
 * other backups.
 *
 * @param created when the backup was begun
 * @param outcomes by the names in the backup
 */
export async function noteCheck(
  files: RecordFiles,
  created: Date | undefined,
  outcomes: readonly Pick<Outcome, 'name' | 'result'>[],
  report: Report,
): Promise<void> {
  if (created === undefined) return;
  const at = secondsOf(new Date());
  const checks = new Map<string, BackupCheck>();
  for (const { name, result } of outcomes) {
    const found = foundBy(result);
    if (found !== undefined) checks.set(name, { at, result: found });
  }
  const withChecks = (record: BackupRecord): BackupRecord => {
    const checked = [...record].map(([name, last]): [string, typeof last] => {
      const check = last.created === secondsOf(created) ? checks.get(name) : undefined;
      return [name, check === undefined ? last : { ...last, check }];
    });
    return new Map(checked);
  };
  const known = await readRecord(files, () => undefined);
  const concerns = [...checks.keys()].some(
    (name) => known.get(name)?.created === secondsOf(created),
  );
  if (concerns) await note(files, report, withChecks);
}

/** What was restored has been authenticated. Undefined: nothing was found out. */
function foundBy(result: Outcome['result']): BackupCheck['result'] | undefined {
  if (result === 'damaged') return 'damaged';
  return ['verified', 'restored', 'restored in part'].includes(result) ? 'verified' : undefined;
}

async function note(
  files: RecordFiles,
  report: Report,
  change: (record: BackupRecord) => BackupRecord,
): Promise<void> {
  try {
    await changeRecord(files, change);
  } catch (error) {
    report.warning(`this was not noted for coffer status: ${messageOf(error)}`);
  }
}

function secondsOf(time: Date): number {
  return Math.floor(time.getTime() / 1000);
}
