import { CofferError, ExitStatus } from '../../shared/errors.ts';
import { formatMinute } from '../../shared/local-time.ts';
import { formatSize } from '../../shared/sizes.ts';
import { changedSinceNewest } from '../backup/changed-qubes.ts';
import { type QubeStatus, backupStatus } from '../backup/backup-status.ts';
import { readRecord } from '../backup/record-files.ts';
import { isBackedUpByDefault } from '../backup/select-for-backup.ts';
import type { QubesSystem } from '../qubes/system.ts';
import { describing } from './qube-events.ts';
import { checkForPrograms, knownStates } from './known-files.ts';
import { CommandReport } from './command-report.ts';
import { notify } from './notification.ts';
import { openSystem } from './open-system.ts';
import {
  ageOf,
  daysOf,
  describeSeriesStatus,
  inNoSeries,
  seriesForPrograms,
  seriesStatus,
} from './series-status.ts';
import type { StatusFlags } from './status-options.ts';
import { formatTable } from './table.ts';

/** What is wrong with the backups of a VM. */
type Fault = Exclude<QubeStatus['state'], 'backed up'>;

const IN_WORDS: Record<Fault, string> = {
  never: 'never backed up',
  due: 'due for a backup',
  damaged: 'last backup found damaged',
};

/** `coffer status`. Returns the exit status: `failed` if a VM should be backed up, or its backup is damaged. */
export async function statusCommand(flags: StatusFlags): Promise<number> {
  using report = new CommandReport(flags);
  const opened = await openSystem(flags.system, (text) => report.info(text));
  const { system, recordFiles, seriesDirectory } = opened;
  const record = await readRecord(recordFiles, (text) => report.warning(text));
  const now = new Date();
  const all = await system.qubes();
  const chosen = all.filter(isBackedUpByDefault);
  const excluded = all.filter((qube) => !chosen.includes(qube)).map(({ name }) => name);
  const states = backupStatus(chosen, record, now, flags.due);
  const isFine = states.every(({ state }) => state === 'backed up');
  report.say(formatTable(['VM', 'last backup', 'age', 'checked', ''], rowsOf(states, now)));
  for (const place of placesOf(states)) report.say(place);
  const known = await knownStates(opened, report);
  const series = seriesStatus(known, now, flags.due);
  for (const status of series) report.say(describeSeriesStatus(status, series));
  const copies = known.length === 0 ? 0 : await spaceOfCopies(system);
  if (copies !== undefined && copies > 0) {
    report.say(
      `Copies that coffer keeps in pools, to tell what changes, hold ${formatSize(copies)}: docs/changes.md.`,
    );
  }
  const alone = inNoSeries(chosen, known);
  if (known.length > 0 && alone.length > 0) {
    report.say(`In no series of backups: ${alone.map(({ name }) => name).join(', ')}.`);
  }
  if (excluded.length > 0) report.say(`Not backed up by default: ${excluded.join(', ')}.`);
  report.say(
    isFine ? `All VMs were backed up in the last ${daysOf(flags.due)}.` : summaryOf(states),
  );
  if (flags.notify === true && !isFine) await notifyOf(states, report);
  // Only with --json, because finding out what has changed may need root.
  const changes =
    flags.json === true ? await changedSinceNewest(system, known, seriesDirectory, all) : new Map();
  const describe = await describing(all, system, changes);
  report.result({
    ok: isFine,
    command: 'status',
    due: flags.due,
    qubes: states.map((status) => ({
      ...describe(status.name),
      state: status.state,
      created: status.created?.toISOString(),
      location: status.location,
      check: checkForPrograms(status.check),
    })),
    excluded: excluded.map(describe),
    series: series.map(seriesForPrograms),
    copiesBytes: copies,
    kernels: flags.json === true ? await system.kernels() : undefined,
    inNoSeries: alone.map(({ name }) => describe(name)),
    warnings: report.warnings,
  });
  return isFine ? ExitStatus.done : ExitStatus.failed;
}

/** Undefined if it cannot be found out, which needs root: that is no reason to fail. */
async function spaceOfCopies(system: QubesSystem): Promise<number | undefined> {
  try {
    return await system.spaceOfCopies();
  } catch (error) {
    if (error instanceof CofferError) return undefined;
    throw error;
  }
}

async function notifyOf(states: readonly QubeStatus[], report: CommandReport): Promise<void> {
  const why = await notify('Backups are due', summaryOf(states));
  if (why !== undefined) report.info(`no notification was shown: ${why}`);
}

function rowsOf(states: readonly QubeStatus[], now: Date): string[][] {
  return states.map(({ name, state, created, location, check }) => [
    name,
    created === undefined ? '' : formatMinute(created),
    created === undefined ? '' : ageOf(now.getTime() - created.getTime()),
    check === undefined ? (location === undefined ? '' : 'no') : formatMinute(timeOf(check.at)),
    state === 'backed up' ? '' : IN_WORDS[state],
  ]);
}

/** `In sys-usb:/home/user/backups/qubes-backup-…: work, vault.` */
function placesOf(states: readonly QubeStatus[]): string[] {
  const backedUp = states.filter(({ created }) => created !== undefined);
  const places = [...new Set(backedUp.map(({ location }) => location))];
  return places.map((place) => {
    const names = backedUp.filter(({ location }) => location === place).map(({ name }) => name);
    return `${place === undefined ? 'In an unknown place' : `In ${place}`}: ${names.join(', ')}.`;
  });
}

/** `Never backed up: vault. Due for a backup: work, personal.` */
function summaryOf(states: readonly QubeStatus[]): string {
  const sentences = (['damaged', 'never', 'due'] as const).flatMap((fault) => {
    const names = states.filter(({ state }) => state === fault).map(({ name }) => name);
    const [first = '', ...rest] = IN_WORDS[fault];
    return names.length === 0
      ? []
      : [`${first.toUpperCase()}${rest.join('')}: ${names.join(', ')}.`];
  });
  return sentences.join(' ');
}

function timeOf(seconds: number): Date {
  return new Date(seconds * 1000);
}
