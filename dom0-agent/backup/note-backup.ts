import { DamagedError, messageOf } from '../../shared/errors.ts';
import { printable } from '../../shared/printable.ts';
import type { Report } from '../../shared/report.ts';
import { TooLargeError } from '../contents/size-limits.ts';
import type { Outcome } from '../contents/outcome.ts';
import type { BackupCheck, BackupRecord, LastBackup } from './backup-record.ts';
import { type RecordFiles, changeRecord, readRecord } from './record-files.ts';
import type { BackedUp } from './backup-files.ts';

/** Notes a backup in the record. That it cannot be noted is a warning: the backup is made. */
export async function noteBackup(
  files: RecordFiles,
  backedUp: readonly BackedUp[],
  made: {
    readonly created: Date;
    readonly location: string;
    readonly check: BackupCheck | undefined;
  },
  report: Report,
): Promise<void> {
  const place = { created: secondsOf(made.created), location: printable(made.location) };
  const last: LastBackup = made.check === undefined ? place : { ...place, check: made.check };
  const whole = backedUp.filter(({ failure }) => failure === undefined);
  await note(files, report, (record) => {
    const entries = whole.map(({ name }): [string, LastBackup] => [name, last]);
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
  await noteChecks(
    files,
    ([name, last]) => (last.created === secondsOf(created) ? checks.get(name) : undefined),
    report,
  );
}

/**
 * What `reading` gives, which reads a backup. When that is damaged, this is noted of all VMs whose last backup it is:
 * which of them are whole, a verify may tell.
 *
 * @param location as it was noted when the backup was made
 */
export async function notingDamage<T>(
  reading: Promise<T>,
  files: RecordFiles,
  location: string,
  report: Report,
): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof DamagedError && !(error instanceof TooLargeError)) {
      const check = { at: secondsOf(new Date()), result: 'damaged' } as const;
      await noteChecks(
        files,
        ([, last]) => (last.location === location ? check : undefined),
        report,
      );
    }
    throw error;
  }
}

/** Leaves the file alone where nothing is found out of a last backup. */
async function noteChecks(
  files: RecordFiles,
  checkOf: (entry: [string, LastBackup]) => BackupCheck | undefined,
  report: Report,
): Promise<void> {
  const known = await readRecord(files, () => undefined);
  if (![...known].some(checkOf)) return;
  const withCheck = (entry: [string, LastBackup]): [string, LastBackup] => {
    const [name, last] = entry;
    const check = checkOf(entry);
    return [name, check === undefined ? last : { ...last, check }];
  };
  await note(files, report, (record) => new Map([...record].map(withCheck)));
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
    report.warning(`this was not recorded for coffer status: ${messageOf(error)}`);
  }
}

function secondsOf(time: Date): number {
  return Math.floor(time.getTime() / 1000);
}
