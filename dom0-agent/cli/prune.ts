import { ExitStatus, RefusedError } from '../../shared/errors.ts';
import { formatTime } from '../../shared/local-time.ts';
import { printable } from '../../shared/printable.ts';
import { formatSize } from '../../shared/sizes.ts';
import { type WholeSeries, openWholeSeries } from '../archive/coffer1/whole-series.ts';
import { givenUpIn } from '../backup/given-up.ts';
import type { SeriesState } from '../backup/series-state.ts';
import { SeriesStore } from '../backup/series-store.ts';
import { publicKeyOf } from '../archive/coffer1/forget-list.ts';
import { type PrunePlan, planPrune } from '../forget/plan-prune.ts';
import {
  type PruneProgress,
  type PruneResult,
  type SeriesPlace,
  runPrune,
} from '../forget/run-prune.ts';
import type { Listing } from '../transport/storage.ts';
import { CommandReport } from './command-report.ts';
import { countOf } from './count-of.ts';
import { aboutField } from './error-field.ts';
import { openSystem } from './open-system.ts';
import { pathThrough } from '../transport/location.ts';
import { type PruneFlags, hasRules, rulesOf } from './prune-options.ts';
import { notePrune, requireKnownFiles, stateOf } from './prune-state.ts';
import { obtainAhead } from './passphrase-of-profile.ts';
import type { PruneRequest } from './prune-request.ts';
import { askPassphrase, confirm } from './questions.ts';
import { formatTable } from './table.ts';

/** `coffer prune`. Returns the exit status. */
export async function pruneCommand(
  { directory, flags, passphraseText }: PruneRequest,
  signal: AbortSignal,
): Promise<number> {
  using report = new CommandReport(flags);
  if (flags.publicKey !== true && !hasRules(flags)) {
    if (flags.profile !== undefined) return keepAll(flags.profile, directory, flags, report);
    rulesOf(flags);
  }
  const opened = await openSystem(flags.system, (text) => report.info(text));
  const storage = await aboutField('dest-vm', () => opened.storage(flags));
  await obtainAhead({ flags, passphraseText }, opened, report, signal);
  const passphrase = await askPassphrase(flags.passphraseFile, signal);
  const look = (): Promise<Listing> => storage.browse(directory, signal);
  const { path } = await aboutField('location', look);
  const location = `${storage.owner}:${path}`;
  await using files = await storage.openFiles(directory, signal);
  const store = new SeriesStore(opened.seriesDirectory, (text) => report.warning(text));
  const action = async (): Promise<number> => {
    // Listed again under the lock: a backup may have been stored meanwhile.
    const names = namesIn(await look(), location);
    const { series: all, locked } = await openWholeSeries(files, names, passphrase, signal);
    if (locked > 0) {
      report.info(`${countOf(locked, 'file')} of series with another passphrase: left alone`);
    }
    // A list is signed with the key of its series, and coffer-gc.sh takes only one key.
    if (flags.publicKey === true) {
      return showPublicKey(report, publicKeyOf(onlyOneOf(all)), location);
    }
    if (flags.list === true) onlyOneOf(all);
    const opened: OpenedSeries[] = [];
    for (const series of all) {
      const known = await stateOf(store, series);
      const isHere = known?.place === location;
      // A copy in another place may lack the newest files. But only the storage says which place this is: it gets no
      // signed list while files are missing.
      if (known !== undefined && (isHere || flags.list === true)) {
        requireKnownFiles(known, series, location);
      }
      if (known !== undefined && !isHere) {
        report.info(`dom0 knows this series in ${printable(known.place)}: nothing changes there`);
      }
      const state = isHere ? known : undefined;
      opened.push({ series, state, givenUp: await givenUpIn(files, names, series) });
    }
    const place = { storage, directory, files, untrustedNames: names };
    const pruned = { store, place: { ...place, deletes: flags.list !== true }, location };
    return prune(opened, pruned, flags, report, signal);
  };
  const onWait = (): void => report.info(`waiting for a backup to ${location}`);
  return await store.whileLocked(location, action, { onWait, signal });
}

/** For a profile without rules, which keeps everything. */
function keepAll(
  profile: string,
  directory: string,
  { destVm = 'dom0', through }: PruneFlags,
  report: CommandReport,
): number {
  const location = `${destVm}:${pathThrough(directory, through)}`;
  report.say(`The profile ${profile} has no rules, such as keep-daily: everything is kept.`);
  const plan = { verdicts: [], going: [], goingBytes: 0, packedBytes: 0 };
  report.result({
    ...{ ok: true, command: 'prune', location, ...planForPrograms(plan) },
    ...{ deleted: [], packs: [], list: undefined, warnings: report.warnings },
  });
  return ExitStatus.done;
}

interface OpenedSeries {
  readonly series: WholeSeries;
  readonly state: SeriesState | undefined;
  /** The ids of files on signed lists of files to delete. */
  readonly givenUp: ReadonlySet<string>;
}

interface PrunedPlace {
  readonly store: SeriesStore;
  readonly place: SeriesPlace;
  readonly location: string;
}

/** What is shown of the plans for all series of a directory. */
type ShownPlan = Pick<PrunePlan, 'verdicts' | 'going' | 'goingBytes' | 'packedBytes'>;

/** Plans, shows and carries out a prune. The rules are applied to each series separately. Returns the exit status. */
async function prune(
  all: readonly OpenedSeries[],
  { store, place, location }: PrunedPlace,
  flags: PruneFlags,
  report: CommandReport,
  signal: AbortSignal,
): Promise<number> {
  const now = new Date();
  const plans: { plan: PrunePlan; state: SeriesState | undefined }[] = [];
  for (const { series, state, givenUp } of all) {
    plans.push({ plan: await planPrune(series, rulesOf(flags), now, givenUp), state });
  }
  const shown = togetherOf(plans.map(({ plan }) => plan));
  report.say(formatVerdicts(shown));
  if (all.length > 1) report.say(`They belong to ${all.length} series: each is pruned separately.`);
  report.say(describePlan(shown));
  report.plan({ command: 'prune', location, ...planForPrograms(shown), problems: [] });
  if (flags.dryRun === true || shown.going.length === 0) {
    return end(report, shown, { packs: [], deletions: [], list: undefined }, location);
  }
  if (flags.yes !== true) await confirm(`Forget these backups in ${location}?`, signal);
  report.startProgress('check', [{ name: location, total: shown.packedBytes }]);
  const results: PruneResult[] = [];
  for (const { plan, state } of plans.filter(({ plan: { going } }) => going.length > 0)) {
    let checked = 0;
    const progress: PruneProgress = {
      replaced: async (done) => {
        if (state !== undefined) await notePrune(store, state, plan, done);
      },
      checked: (bytes) => {
        report.progress(location, bytes - checked);
        checked = bytes;
      },
    };
    results.push(await runPrune(plan, place, now, progress, signal));
  }
  report.endProgress();
  const result = {
    packs: results.flatMap(({ packs }) => packs),
    deletions: results.flatMap(({ deletions }) => deletions),
    list: results[0]?.list,
  };
  return end(report, shown, result, location);
}

function togetherOf(plans: readonly PrunePlan[]): ShownPlan {
  return {
    verdicts: plans.flatMap(({ verdicts }) => verdicts),
    going: plans.flatMap(({ going }) => going),
    goingBytes: plans.reduce((sum, { goingBytes }) => sum + goingBytes, 0),
    packedBytes: plans.reduce((sum, { packedBytes }) => sum + packedBytes, 0),
  };
}

/** Throws RefusedError unless there is exactly one series. */
function onlyOneOf([first, ...others]: readonly WholeSeries[]): WholeSeries {
  if (first !== undefined && others.length === 0) return first;
  throw new RefusedError(
    'the directory contains backups of more than one series, and each has its own key: move those of one series to ' +
      'another directory',
  );
}

function showPublicKey(report: CommandReport, publicKey: string, location: string): number {
  report.answer(publicKey.trimEnd());
  report.result({ ok: true, command: 'prune', location, publicKey });
  return ExitStatus.done;
}

/** The names of the directory's files. Throws RefusedError when the listing is incomplete. */
function namesIn({ entries, truncated }: Listing, location: string): string[] {
  if (truncated) {
    throw new RefusedError(
      `${location} contains too many files to list them all: move those that are not backups elsewhere`,
    );
  }
  return entries.filter(({ kind }) => kind === 'FILE').map(({ untrustedName }) => untrustedName);
}

function formatVerdicts({ verdicts }: ShownPlan): string {
  const rows = verdicts.map(({ backup: { name, made, stored, subjects }, reasons }) => [
    name,
    formatTime(made),
    formatSize(stored.file.input.size),
    subjects.join(', '),
    reasons.length === 0 ? 'forget' : `keep: ${reasons.join(', ')}`,
  ]);
  return formatTable(['backup', 'made on', 'size', 'VMs', ''], rows);
}

function describePlan({ verdicts, going, goingBytes, packedBytes }: ShownPlan): string {
  const forgotten = verdicts.filter(({ reasons }) => reasons.length === 0).length;
  if (going.length === 0) return 'There is nothing to forget.';
  const copied =
    packedBytes === 0 ? '' : ` ${formatSize(packedBytes)} of it is still needed, and copied first.`;
  return (
    `${countOf(forgotten, 'backup')} to forget: ${countOf(going.length, 'file')} of ${formatSize(goingBytes)} ` +
    `to delete.${copied} ${formatSize(Math.max(goingBytes - packedBytes, 0))} will be freed.`
  );
}

function planForPrograms({
  verdicts,
  going,
  goingBytes,
  packedBytes,
}: Pick<PrunePlan, 'verdicts' | 'going' | 'goingBytes' | 'packedBytes'>) {
  return {
    backups: verdicts.map(({ backup, reasons }) => ({
      name: backup.name,
      created: backup.made.toISOString(),
      keptBy: reasons,
    })),
    files: going.map(({ stored }) => printable(stored.untrustedName)),
    bytesDeleted: goingBytes,
    bytesCopied: packedBytes,
  };
}

function end(
  report: CommandReport,
  plan: ShownPlan,
  { packs, deletions, list }: Omit<PruneResult, 'last'>,
  location: string,
): number {
  const left = deletions.filter(({ result }) => result !== 'DELETED' && result !== 'ABSENT');
  for (const { fileName, reason } of left) {
    report.warning(`${printable(fileName)} in ${location} could not be deleted: ${reason}`);
  }
  const deleted = deletions.length - left.length;
  if (deletions.length > 0) report.say(`Deleted: ${countOf(deleted, 'file')}.`);
  if (list !== undefined) {
    report.say(
      `Nothing was deleted: the signed list ${list} names the files that coffer-gc.sh may delete.`,
    );
  }
  const ok = left.length === 0;
  report.result({
    ...{ ok, command: 'prune', location, ...planForPrograms(plan) },
    deleted: deletions
      .filter((each) => !left.includes(each))
      .map((each) => printable(each.fileName)),
    packs: packs.map(({ untrustedName }) => untrustedName),
    list,
    warnings: report.warnings,
  });
  return ok ? ExitStatus.done : ExitStatus.failed;
}
