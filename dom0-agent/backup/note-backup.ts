import { DamagedError, messageOf } from '../../shared/errors.ts';
import { printable } from '../../shared/printable.ts';
import type { Report } from '../../shared/report.ts';
import { TooLargeError } from '../contents/size-limits.ts';
import type { Outcome } from '../contents/outcome.ts';
import type { BackupCheck, BackupRecord, LastBackup } from './backup-record.ts';
import { type RecordFiles, changeRecord, readRecord } from './record-files.ts';
import type { BackedUp } from './backup-files.ts';

/** Notes a backup in the record. If that fails, it warns: the backup itself is complete. */
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
 * Notes what a verify or a restore has found out about the VMs whose last backup this is. It does nothing for other
 * backups, nor for a copy in another directory.
 *
 * @param created when the backup was begun; undefined: unknown, and nothing is noted
 * @param location where it is; it may have been renamed since it was made
 * @param outcomes with the VMs' names in the backup
 */
export async function noteCheck(
  files: RecordFiles,
  { created, location }: { readonly created: Date | undefined; readonly location: string },
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
  const directory = directoryOf(printable(location));
  const isIt = (last: LastBackup): boolean =>
    last.created === secondsOf(created) && directoryOf(last.location) === directory;
  await noteChecks(files, ([name, last]) => (isIt(last) ? checks.get(name) : undefined), report);
}

/** Of a location without a path, as behind a command, it is the location itself. */
function directoryOf(location: string): string {
  const slash = location.lastIndexOf('/');
  return slash === -1 ? location : location.slice(0, slash);
}

/**
 * Returns the result of `reading`, which reads a backup. If that throws because the backup is damaged, this is noted
 * for all VMs whose last backup it is: only a later verify can tell which of them are complete.
 *
 * @param location the backup's location, as it was noted when the backup was made
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
        ([, last]) => (last.location === printable(location) ? check : undefined),
        report,
      );
    }
    throw error;
  }
}

/** Notes the checks that `checkOf` gives for last backups. If there are none, the file is not written. */
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

/** What a result says about the backup: whatever was restored has been authenticated. Undefined: nothing. */
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
