import { ExitStatus, RefusedError } from '../../shared/errors.ts';
import { formatSize } from '../../shared/sizes.ts';
import { refuseRepeated } from '../qubes/names-from-user.ts';
import { sizeOfVolumes } from '../qubes/qube.ts';
import type { RestoreChoices } from '../restore/plan-input.ts';
import { totalSize } from '../qubes/backup-contents.ts';
import { warnOfHomeSpace } from '../restore/restore-space.ts';
import type { Outcome } from '../contents/outcome.ts';
import { type RestorePlan, planRestore } from '../restore/plan-restore.ts';
import {
  abandonedQubes,
  removeAbandoned,
  removeAbandonedHomes,
  withoutQubes,
} from '../restore/remove-abandoned.ts';
import { asOnlyRestore } from '../restore/restore-lock.ts';
import { runRestore } from '../restore/run-restore.ts';
import { requirePool, warnOfSpace } from '../restore/restore-space.ts';
import { readSystemState } from '../restore/plan-input.ts';
import { confirm, requireTerminal } from './questions.ts';
import type { RestoreFlags } from './restore-options.ts';
import { describeBackup, openBackup, usableContents } from './open-backup.ts';
import { formatKnownSize, formatOutcomes, formatTable } from './table.ts';
import { type OpenedSystem, openSystem } from './open-system.ts';
import { rollBackIfKilled } from './roll-back.ts';
import { CommandReport } from './command-report.ts';
import { verifyCommand } from './verify.ts';

/** `coffer restore`. Gives the exit status. */
export async function restoreCommand(
  location: string,
  chosen: readonly string[],
  flags: RestoreFlags,
  signal: AbortSignal,
): Promise<number> {
  if (flags.verifyOnly === true) return verifyCommand(location, chosen, flags, signal);
  refuseRepeated(chosen);
  // The backup is read before there is a plan: what can be refused is refused before that.
  if (flags.yes !== true) requireTerminal();
  using report = new CommandReport(flags);
  const atHand = await openSystem(flags.system, (text) => report.info(text));
  return await asOnlyRestore(atHand.system, 'restore', () =>
    restore(location, chosen, flags, atHand, report, signal),
  );
}

/** What is decided on the list of VMs holds until the end: no other restore changes it meanwhile. */
async function restore(
  location: string,
  chosen: readonly string[],
  flags: RestoreFlags,
  atHand: OpenedSystem,
  report: CommandReport,
  signal: AbortSignal,
): Promise<number> {
  const yes = flags.yes === true;
  const propose = (text: string): void => (yes ? report.say(text) : report.ask(text));
  if (flags.pool !== undefined) requirePool(flags.pool, await atHand.system.pools());
  await using backup = await openBackup(atHand, location, flags, signal);
  const { reader } = backup;
  const contents = await usableContents(backup);
  const state = await readSystemState(atHand.system);
  const abandoned = await abandonedQubes(state.qubes.values());
  const plan = planRestore(contents, withoutQubes(state, abandoned), choicesOf(chosen, flags));
  propose(describeBackup(backup));
  for (const { name } of abandoned) {
    propose(`${name} will be removed: a coffer that was killed has restored it only in part.`);
  }
  propose(formatPlan(plan));
  if (plan.qubes.length === 0 && plan.dom0Home === undefined) {
    throw new RefusedError('nothing is left to restore: all that was chosen is left out');
  }
  const home = (await atHand.system.dom0Home()).path;
  for (const warning of [
    warnOfSpace(plan, state.pools, flags.pool),
    await warnOfHomeSpace(plan.dom0Home, reader.header.format, home),
  ]) {
    if (warning !== undefined) report.warning(warning);
  }
  if (!yes) await confirm('Restore?', signal);

  const options = {
    keepFailed: flags.keepFailed ?? false,
    ignoreSizeLimit: flags.ignoreSizeLimit ?? false,
  };
  const begun = Date.now();
  await removeAbandoned(abandoned, atHand.system, report);
  await removeAbandonedHomes(home, report);
  const sources = plan.qubes.map(({ source }) => source);
  report.startProgress(totalSize({ qubes: sources, dom0Home: plan.dom0Home }));
  const cleanup = await rollBackIfKilled(flags.system);
  const restored = await runRestore(plan, reader, atHand.system, options, report, signal).finally(
    () => cleanup.cancel(),
  );
  report.endProgress();
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
    created: contents.created?.toISOString() ?? null,
    qubes: outcomes,
    warnings: report.warnings,
    seconds,
  });
  return done ? ExitStatus.done : ExitStatus.failed;
}

function choicesOf(chosen: readonly string[], flags: RestoreFlags): RestoreChoices {
  return {
    chosen,
    excluded: flags.exclude ?? [],
    renameConflicting: flags.renameConflicting ?? false,
    skipConflicting: flags.skipConflicting ?? false,
    ignoreMissing: flags.ignoreMissing ?? false,
    skipBroken: flags.skipBroken ?? false,
    skipDom0Home: flags.skipDom0Home ?? false,
    ignoreUsernameMismatch: flags.ignoreUsernameMismatch ?? false,
    paranoid: flags.paranoidMode ?? false,
    pool: flags.pool,
  };
}

/** What will be created, under which name, with which replacements; what is left out, and why. */
function formatPlan({ qubes, dom0Home, leftOut }: RestorePlan): string {
  const rows = qubes.map(({ source, newQube, remarks }) => [
    source.qube.name,
    newQube.name,
    newQube.qubeClass,
    formatKnownSize(sizeOfVolumes(source.qube)),
    formatSize(source.size),
    remarks.join('; '),
  ]);
  if (dom0Home !== undefined) {
    rows.push(['dom0', 'a new directory', 'home', '', formatSize(dom0Home.size), '']);
  }
  for (const { name, why } of leftOut) rows.push([name, 'left out', '', '', '', why]);
  return formatTable(['VM', 'restored as', 'class', 'size', 'used', ''], rows);
}

/** What is not as it was in the backup. */
function describeFailures(outcomes: readonly Outcome[]): string {
  const namesOf = (result: Outcome['result']): string =>
    outcomes
      .filter((each) => each.result === result)
      .map(({ name }) => name)
      .join(', ');
  const [failed, inPart] = [namesOf('failed'), namesOf('restored in part')];
  const lacking = `${inPart} only in part`;
  if (failed === '') return `Restored, but ${lacking}: the table says what is missing.`;
  return `Not everything was restored: ${failed} failed${inPart === '' ? '' : `, ${lacking}`}.`;
}

/** A template that was restored is as old as its backup. */
function adviceOn({ qubes }: RestorePlan, outcomes: readonly Outcome[]): string {
  const templates = qubes
    .filter(({ newQube }) => newQube.qubeClass === 'TemplateVM')
    .map(({ newQube: { name } }) => name)
    .filter((name) =>
      outcomes.some((each) => each.name === name && each.result.startsWith('restored')),
    );
  if (templates.length === 0) return '';
  return `Update ${templates.join(', ')} before you start a VM that is based on it.`;
}
