import { ExitStatus, RefusedError } from '../../shared/errors.ts';
import { formatMinute } from '../../shared/local-time.ts';
import { formatSize } from '../../shared/sizes.ts';
import type { CheckedFile } from '../archive/archive.ts';
import type { SeriesFile } from '../backup/series-state.ts';
import type { CommandReport } from './command-report.ts';
import { missingOf } from './known-files.ts';
import { type OpenedBackup, backupForPrograms } from './open-backup.ts';
import { formatTable } from './table.ts';

/**
 * `coffer verify --all`: every file of the series of a backup. Gives the exit status.
 *
 * @param known the files of the series that dom0 knows of: all must be there
 */
export async function verifySeries(
  backup: OpenedBackup,
  known: readonly SeriesFile[],
  report: CommandReport,
): Promise<number> {
  const { inSeries } = backup.reader;
  if (inSeries === undefined) {
    throw new RefusedError('--all is for a backup in a file, in the format coffer-1');
  }
  const begun = Date.now();
  let bytes = 0;
  const found = await inSeries.check((more) => (bytes += more));
  const files = [...found, ...missingOf(known, found)];
  const seconds = (Date.now() - begun) / 1000;
  const damaged = files.filter(({ damages }) => damages.length > 0);
  for (const { name, damages } of damaged) {
    for (const damage of damages) report.warning(`${name}: ${damage}`);
  }
  report.say(formatTable(['file', 'made on', 'what', 'size', 'result'], files.map(rowOf)));
  report.say(
    damaged.length === 0
      ? `Verified: all ${files.length} files of the series are authentic and whole, ${seconds.toFixed(1)} s.`
      : `The series is damaged: in ${damaged.length} of ${files.length} files. coffer list shows which VMs are lost.`,
  );
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

function rowOf({ name, made, kind, size, damages }: CheckedFile): string[] {
  const result = damages.length === 0 ? 'verified' : 'damaged';
  return [name, made === undefined ? '' : formatMinute(made), kind ?? '', formatSize(size), result];
}
