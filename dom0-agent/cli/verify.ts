import { ExitStatus, UsageError } from '../../shared/errors.ts';
import { refuseRepeated } from '../qubes/names-from-user.ts';
import type { Header } from '../archive/archive.ts';
import type { Outcome } from '../contents/outcome.ts';
import { selectContents } from '../contents/read-contents.ts';
import { verifyBackup } from '../verify/run-verify.ts';
import { noteCheck } from '../backup/note-backup.ts';
import { type ChoiceFlags, openChosenBackup } from './choose-backup.ts';
import { type OpenedBackup, backupForPrograms, describeBackup } from './open-backup.ts';
import { sharesIn } from './contents-events.ts';
import { aboutField } from './error-field.ts';
import { formatOutcomes } from './table.ts';
import { openSystem } from './open-system.ts';
import { CommandReport } from './command-report.ts';
import { verifyLive } from './verify-live.ts';
import { noteChecked, verifySeries } from './verify-series.ts';

/** `coffer verify`. Returns the exit status. */
export async function verifyCommand(
  location: string,
  chosen: readonly string[],
  flags: ChoiceFlags & {
    readonly exclude?: readonly string[];
    readonly all?: true;
    readonly rolling?: true;
    readonly compare?: true;
  },
  signal: AbortSignal,
): Promise<number> {
  refuseRepeated(chosen);
  if ((flags.all === true || flags.rolling === true) && chosen.length > 0) {
    throw new UsageError(
      `--all and --rolling check files, each with all of its VMs: leave out ${chosen.join(' and ')}`,
    );
  }
  using report = new CommandReport(flags);
  const opened = await openSystem(flags.system, (text) => report.info(text));
  await using backup = await openChosenBackup(opened, location, flags, report, signal);
  if (flags.all === true || flags.rolling === true) {
    report.say(describeBackup(backup));
    const which = flags.all === true ? 'all' : 'rolling';
    return await verifySeries(opened, backup, which, report, signal);
  }
  const { reader, contents } = backup;
  const selected = await aboutField('vms', () =>
    selectContents(contents, chosen, flags.exclude ?? []),
  );
  report.say(describeBackup(backup));
  if (flags.compare === true) {
    return await verifyLive(opened.system, backup, selected, report, signal);
  }
  const begun = Date.now();
  report.plan({
    command: 'verify',
    ...backupForPrograms(backup),
    qubes: sharesIn(selected).map(({ name, total }) => ({ name, used: total })),
    problems: [],
  });
  report.startProgress('check', sharesIn(selected));
  const outcomes = await verifyBackup(selected, reader, report, signal);
  report.endProgress();
  const { location: file } = backup.source;
  const checkedBackup = { created: contents.created, location: file };
  await noteCheck(opened.recordFiles, checkedBackup, outcomes, report);
  const isAll = chosen.length === 0 && flags.exclude === undefined;
  const found = isAll ? fileFound(backup, outcomes) : undefined;
  const seconds = (Date.now() - begun) / 1000;
  const exitStatus = statusOf(outcomes);
  report.say(formatOutcomes(outcomes));
  report.say(
    exitStatus === ExitStatus.damaged
      ? describeDamage(outcomes)
      : `${describeVerified(reader.header)}, ${seconds.toFixed(1)} s.${exceptIncomplete(outcomes)}`,
  );
  // Last, since it may have to wait for a backup.
  if (found) await noteChecked(opened, backup, [found], report, signal);
  report.result({
    ok: exitStatus === ExitStatus.done,
    exitStatus,
    command: 'verify',
    ...backupForPrograms(backup),
    qubes: outcomes satisfies Outcome[],
    warnings: report.warnings,
    seconds,
  });
  return exitStatus;
}

/**
 * The result for the backup's file, after everything in it was read and authenticated. Undefined if it is unknown: if
 * the backup refers to other files and something is damaged, that may be in one of those.
 */
function fileFound(
  { reader: { header, inSeries } }: OpenedBackup,
  outcomes: readonly Outcome[],
): { backupId: string; isIntact: boolean } | undefined {
  const { backupId } = header;
  if (inSeries === undefined || backupId === undefined) return undefined;
  const results = outcomes.map(({ result }) => result);
  if (results.every((result) => result === 'verified' || result === 'incomplete')) {
    return { backupId, isIntact: true };
  }
  const isHere = inSeries.needs.length === 0 && results.includes('damaged');
  return isHere ? { backupId, isIntact: false } : undefined;
}

function statusOf(outcomes: readonly Outcome[]): ExitStatus {
  const results = new Set(outcomes.map(({ result }) => result));
  if (results.has('damaged') || results.has('not verified')) return ExitStatus.damaged;
  return results.has('incomplete') ? ExitStatus.failed : ExitStatus.done;
}

/** A sentence about the VMs that are incomplete according to the backup itself. */
function exceptIncomplete(outcomes: readonly Outcome[]): string {
  const names = outcomes.filter(({ result }) => result === 'incomplete').map(({ name }) => name);
  return names.length === 0
    ? ''
    : ` But ${names.join(', ')} could not be backed up completely: the table says why.`;
}

/** What was verified, as far as the format allows to say. */
function describeVerified({ format }: Header): string {
  if (format === 'coffer-1' || format === 'qubes-4') {
    return 'Verified: what was read is authentic and complete';
  }
  return (
    'Verified: everything in the list of VMs is there, and each part is authentic, but this format cannot show whether ' +
    'it is in the right place (docs/threat-model.md)'
  );
}

/** What can still be restored from the backup, and how. */
function describeDamage(outcomes: readonly Outcome[]): string {
  const whole = outcomes.filter(({ result }) => result === 'verified').map(({ name }) => name);
  const rest =
    whole.length === 0
      ? 'None of its VMs is complete'
      : `Restore by name what is complete: ${whole.join(', ')}`;
  return `The backup is damaged. ${rest}; docs/recovery.md explains how to extract by hand what comes before the damage.`;
}
