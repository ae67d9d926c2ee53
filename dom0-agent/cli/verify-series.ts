import {
  CofferError,
  ExitStatus,
  RefusedError,
  messageOf,
  systemCodeOf,
} from '../../shared/errors.ts';
import { formatMinute } from '../../shared/local-time.ts';
import { printable } from '../../shared/printable.ts';
import { formatSize } from '../../shared/sizes.ts';
import type { CheckedFile } from '../archive/archive.ts';
import type { BackupCheck } from '../backup/backup-record.ts';
import { checkedLongestAgo, noteFileChecks } from '../backup/series-checks.ts';
import { SeriesStore } from '../backup/series-store.ts';
import { damageTo } from '../contents/damage.ts';
import { readContents } from '../contents/read-contents.ts';
import { countOf } from './count-of.ts';
import type { CommandReport } from './command-report.ts';
import { asDamaged, knownState, notFound } from './known-files.ts';
import { type OpenedBackup, backupForPrograms } from './open-backup.ts';
import type { OpenedSystem } from './open-system.ts';
import { formatTable } from './table.ts';

/**
 * `coffer verify --all` checks every file of a backup's series, `--rolling` those that were checked longest ago. The
 * results are noted, so that no later backup refers to a damaged file. Returns the exit status.
 */
export async function verifySeries(
  opened: OpenedSystem,
  backup: OpenedBackup,
  which: 'all' | 'rolling',
  report: CommandReport,
  signal: AbortSignal,
): Promise<number> {
  const { inSeries } = backup.reader;
  if (inSeries === undefined) {
    throw new RefusedError(`--${which} is for a backup in a file, in the format coffer-1`);
  }
  const state = await knownState(opened, inSeries.seriesId, report);
  const isHere = state?.place === backup.directory;
  const known = (isHere ? state?.files : undefined) ?? [];
  if (which === 'rolling' && known.length === 0) {
    const what = state === undefined ? '' : ` in this place, but in ${printable(state.place)}`;
    throw new RefusedError(
      `dom0 does not know this series${what}, nor when it was checked: use --all, or coffer adopt`,
    );
  }
  const meant = which === 'all' ? known : checkedLongestAgo(known, new Date());
  const only = which === 'all' ? undefined : new Set(meant.map(({ backupId }) => backupId));
  const begun = Date.now();
  let bytes = 0;
  const found = await inSeries.check((more) => (bytes += more), only);
  const { missing, spoiled } = await asDamaged(notFound(meant, found), backup.source.place?.files);
  const files = [...found, ...missing, ...spoiled].map((file) => ({
    ...file,
    damages: [...file.damages, ...volumesInWords(file, backup)],
  }));
  const seconds = (Date.now() - begun) / 1000;
  const damaged = files.filter(({ damages }) => damages.length > 0);
  for (const { name, damages } of damaged) {
    for (const damage of damages) report.warning(`${name}: ${damage}`);
  }
  const ofOthers = await inSeries.filesOfOthers();
  if (ofOthers > 0) {
    report.warning(
      `${countOf(ofOthers, 'file')} of other series in the directory: not checked. To verify another series, name one of its backups`,
    );
  }
  const elsewhere = isHere ? [] : notFound(state?.files ?? [], found);
  if (elsewhere.length > 0) {
    report.warning(
      `${countOf(elsewhere.length, 'file')} of the series that dom0 knows in ${printable(state?.place ?? '')}: not here, and not checked`,
    );
  }
  const total = which === 'all' ? files.length + elsewhere.length : known.length;
  report.say(formatTable(['file', 'made on', 'what', 'size', 'result'], files.map(rowOf)));
  report.say(
    damaged.length === 0
      ? `Verified: ${files.length} of ${countOf(total, 'file')} of the series, authentic and complete, ${seconds.toFixed(1)} s.`
      : `The series is damaged: in ${damaged.length} of ${files.length} files. The warnings say which VMs of which backups are lost` +
          // Nothing is recorded, and so nothing stored again, unless dom0 knows these files.
          (known.length === 0
            ? '.'
            : '; the next backup stores again what is still needed of these files.'),
  );
  // Last, since it may have to wait for a backup.
  await noteChecked(opened, backup, [...found, ...spoiled], report, signal);
  const exitStatus = damaged.length === 0 ? ExitStatus.done : ExitStatus.damaged;
  report.result({
    ok: exitStatus === ExitStatus.done,
    ...(exitStatus === ExitStatus.done ? {} : { exitStatus }),
    command: 'verify',
    ...backupForPrograms(backup),
    files: files.map(({ name, size, kind, made, sequence, damages }) => ({
      ...{ name, bytes: size, kind, created: made?.toISOString(), sequence, damages },
    })),
    checked: bytes,
    warnings: report.warnings,
    seconds,
  });
  return exitStatus;
}

/** Which volumes of which VMs of a backup are damaged: `work: its private volume is damaged (…)`. */
function volumesInWords({ volumes, qubesXml }: CheckedFile, { reader }: OpenedBackup): string[] {
  const contents = qubesXml === undefined ? undefined : readContents(qubesXml, reader.header);
  return volumes.map(({ path, damage }) => {
    const told = contents && damageTo(path, damage, contents);
    return told === undefined ? `${path}: ${messageOf(damage)}` : `${told.name}: ${told.what}`;
  });
}

/**
 * Notes when files of a backup's series were checked, and the results. If several files claim the same id, and one of
 * them is intact, that is the result: a forged copy does not make it damaged.
 */
export async function noteChecked(
  { seriesDirectory }: OpenedSystem,
  { reader: { inSeries }, directory }: OpenedBackup,
  found: readonly Pick<CheckedFile, 'backupId' | 'isIntact'>[],
  report: CommandReport,
  signal: AbortSignal,
): Promise<void> {
  if (inSeries === undefined || directory === undefined) return;
  const at = Math.floor(Date.now() / 1000);
  const checks = new Map<string, BackupCheck>();
  for (const { backupId, isIntact } of found) {
    if (isIntact) checks.set(backupId, { at, result: 'verified' });
    else if (!checks.has(backupId)) checks.set(backupId, { at, result: 'damaged' });
  }
  const store = new SeriesStore(seriesDirectory, (text) => report.warning(text));
  try {
    const onWait = (): void =>
      report.info('waiting for a backup to finish, to record when this was checked');
    await noteFileChecks(store, inSeries.seriesId, directory, checks, { onWait, signal });
  } catch (error) {
    if (!(error instanceof CofferError) && (signal.aborted || systemCodeOf(error) === undefined)) {
      throw error;
    }
    report.warning(`it could not be recorded when this was checked: ${messageOf(error)}`);
  }
}

function rowOf({ name, made, kind, size, damages }: CheckedFile): string[] {
  const result = damages.length === 0 ? 'verified' : 'damaged';
  return [name, made === undefined ? '' : formatMinute(made), kind ?? '', formatSize(size), result];
}
