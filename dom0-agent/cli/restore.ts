import { ExitStatus, RefusedError } from '../../shared/errors.ts';
import { refuseRepeated } from '../qubes/names-from-user.ts';
import type { Qube } from '../qubes/qube.ts';
import { readSystemState, type SystemState } from '../restore/plan-input.ts';
import { type BackupContents, dom0Trees, sizeOfDom0 } from '../qubes/backup-contents.ts';
import { requirePool, warnOfHomeSpace, warnOfSpace } from '../restore/restore-space.ts';
import type { Outcome } from '../contents/outcome.ts';
import { openChosenBackup } from './choose-backup.ts';
import { type RestorePlan, planRestore } from '../restore/plan-restore.ts';
import {
  abandonedQubes,
  removeAbandoned,
  removeAbandonedHomes,
  withoutQubes,
} from '../restore/remove-abandoned.ts';
import { asOnlyRestore } from '../restore/restore-lock.ts';
import { runRestore } from '../restore/run-restore.ts';
import { noteCheck, notingDamage } from '../backup/note-backup.ts';
import { confirm, requireTerminal } from './questions.ts';
import type { RestoreFlags } from './restore-options.ts';
import {
  adviceOn,
  describeFailures,
  describeRollback,
  formatRestorePlan,
} from './restore-tables.ts';
import {
  type OpenedBackup,
  backupForPrograms,
  describeBackup,
  usableContents,
} from './open-backup.ts';
import { sharesIn } from './contents-events.ts';
import { aboutField } from './error-field.ts';
import { restorePlanForPrograms } from './restore-events.ts';
import { describingInterrupt } from './signals.ts';
import { formatOutcomes } from './table.ts';
import { type OpenedSystem, openSystem } from './open-system.ts';
import { rollBackIfKilled } from './roll-back.ts';
import { CommandReport } from './command-report.ts';
import { verifyCommand } from './verify.ts';

/** What every step of a restore needs. */
interface RestoreContext {
  readonly flags: RestoreFlags;
  readonly opened: OpenedSystem;
  readonly backup: OpenedBackup;
  readonly report: CommandReport;
  readonly signal: AbortSignal;
}

/** What the user is asked to agree to. */
interface Proposal {
  readonly plan: RestorePlan;
  readonly contents: BackupContents;
  readonly state: SystemState;
  /** VMs left by a killed restore, which are removed first. */
  readonly abandoned: readonly Qube[];
  /** The home of dom0's user. */
  readonly home: string;
}

/** `coffer restore`. Returns the exit status. */
export async function restoreCommand(
  location: string,
  chosen: readonly string[],
  flags: RestoreFlags,
  signal: AbortSignal,
): Promise<number> {
  if (flags.verifyOnly === true) return verifyCommand(location, chosen, flags, signal);
  refuseRepeated(chosen);
  // The backup must be opened before there is a plan, so this is refused as early as possible.
  if (flags.yes !== true) requireTerminal();
  using report = new CommandReport(flags);
  const opened = await openSystem(flags.system, (text) => report.info(text));
  // The plan depends on the list of VMs, so no other restore may change that until the end.
  return await asOnlyRestore(opened.system, 'restore', async () => {
    await aboutField('pool', async () => {
      if (flags.pool !== undefined) requirePool(flags.pool, await opened.system.pools());
    });
    await using backup = await openChosenBackup(opened, location, flags, report, signal);
    const context = { flags, opened, backup, report, signal };
    const proposal = await propose(chosen, context);
    await agree(proposal, context);
    return await carryOut(proposal, context);
  });
}

async function propose(chosen: readonly string[], context: RestoreContext): Promise<Proposal> {
  const { flags, opened, backup } = context;
  const contents = await usableContents(backup);
  const state = await readSystemState(opened.system);
  const abandoned = await abandonedQubes(state.qubes.values());
  const choices = { ...flags, chosen, excluded: flags.exclude ?? [] };
  const plan = await aboutField('vms', () =>
    planRestore(contents, withoutQubes(state, abandoned), choices),
  );
  const home = (await opened.system.dom0Home()).path;
  return { plan, contents, state, abandoned, home };
}

/**
 * Shows the plan, and asks for confirmation. Throws RefusedError when there is nothing to do, it does not fit, or the
 * user does not agree.
 */
async function agree(
  { plan, state, abandoned, home }: Proposal,
  { flags, backup, report, signal }: RestoreContext,
): Promise<void> {
  const show = (text: string): void => (flags.yes === true ? report.say(text) : report.ask(text));
  show(describeBackup(backup));
  for (const { name } of abandoned) {
    show(`${name} will be removed: it was left incomplete by a restore that was killed.`);
  }
  show(formatRestorePlan(plan));
  if (plan.qubes.length === 0 && dom0Trees(plan).length === 0) {
    throw new RefusedError('there is nothing to restore: everything that was chosen is left out');
  }
  const doubts = [
    { field: 'pool', sentence: warnOfSpace(plan, state.pools, flags.pool) },
    {
      field: 'skip-dom0-home',
      sentence: await warnOfHomeSpace(sizeOfDom0(plan), backup.reader.header.format, home),
    },
  ];
  const problems = doubts.flatMap(({ field, sentence }) =>
    sentence === undefined ? [] : [{ field, sentence }],
  );
  report.plan({
    command: 'restore',
    ...backupForPrograms(backup),
    ...restorePlanForPrograms(plan, abandoned),
    problems,
  });
  for (const { sentence } of problems) report.warning(sentence);
  if (flags.yes !== true) await confirm('Restore?', signal);
}

/** Restores what was agreed to, and reports the result. Returns the exit status. */
async function carryOut(proposal: Proposal, context: RestoreContext): Promise<number> {
  const { plan, contents } = proposal;
  const { opened, backup, report, signal } = context;
  const begun = Date.now();
  const restoring = describingInterrupt(restore(proposal, context), signal, () =>
    describeRollback(report.notRolledBack),
  );
  const { location } = backup.source;
  const restored = await notingDamage(restoring, opened.recordFiles, location, report);
  report.endProgress();
  const { created } = contents;
  await noteCheck(opened.recordFiles, { created, location }, inBackup(restored, plan), report);
  const leftOut = plan.leftOut.map(({ name, why }): Outcome => ({
    name,
    result: 'left out',
    size: undefined,
    used: 0,
    remarks: [why],
  }));
  const outcomes = [...restored, ...leftOut];
  const done = outcomes.every(({ result }) => result === 'restored' || result === 'left out');
  const seconds = (Date.now() - begun) / 1000;

  report.say(formatOutcomes(outcomes));
  report.say(done ? `Restored, ${seconds.toFixed(1)} s.` : describeFailures(outcomes));
  const advice = adviceOn(plan, outcomes);
  if (advice !== '') report.say(advice);
  report.result({
    ok: done,
    command: 'restore',
    ...backupForPrograms(backup),
    qubes: outcomes,
    advice: advice === '' ? null : advice,
    warnings: report.warnings,
    seconds,
  });
  return done ? ExitStatus.done : ExitStatus.failed;
}

/** The outcomes with the VMs' names in the backup. */
function inBackup(restored: readonly Outcome[], { qubes }: RestorePlan): Outcome[] {
  const former = new Map(qubes.map(({ source, newQube }) => [newQube.name, source.qube.name]));
  return restored.map((outcome) => ({
    ...outcome,
    name: former.get(outcome.name) ?? outcome.name,
  }));
}

async function restore(
  { plan, abandoned, home }: Proposal,
  { flags, opened: { system }, backup: { reader }, report, signal }: RestoreContext,
): Promise<Outcome[]> {
  await removeAbandoned(abandoned, system, report);
  await removeAbandonedHomes(home, report);
  report.startProgress('receive', [
    ...plan.qubes.map(({ source, newQube }) => ({ name: newQube.name, total: source.size })),
    ...sharesIn({ ...plan, qubes: [] }),
  ]);
  const cleanup = await rollBackIfKilled(flags.system);
  try {
    return await runRestore(plan, reader, system, flags, report, signal);
  } finally {
    cleanup.cancel();
  }
}
